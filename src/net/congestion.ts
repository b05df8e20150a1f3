/**
 * Congestion: how fast a path may send. Estimates the bottleneck's delivery rate and the round trip without queue,
 * paces to the one and bounds what is in flight by both, after the idea of BBR (Cardwell et al., ACM Queue 14-5,
 * 2016; rate samples as in draft-cheng-iccrg-delivery-rate-estimation). Random loss does not slow it down. Pure: the
 * log of transmissions (flight.ts) tells it what was sent, delivered and lost.
 */

// Tuning. After BBR version 1, but for a smaller window and a deeper drain: two flows of ours then come to equal shares
// whoever began first, and the queue of one is a tenth of a round trip, of two half of one.
const STARTUP_GAIN = 2.885; // 2 / ln 2: doubles the rate each round trip
const CYCLE_GAINS = [1.25, 0.6, 1, 1, 1, 1, 1, 1] as const;
/** A cycle ends early with this chance a phase, so that flows which share a link do not probe at the same time. */
const CYCLE_CUT = 1 / 6;
const WINDOW_GAIN = 1.25;
const PLATEAU_GROWTH = 1.25; // startup ends after PLATEAU_ROUNDS rounds with less growth than this
const PLATEAU_ROUNDS = 3;
const RATE_EPOCHS = 8; // the rate is the best of as many epochs, each at least a round and EPOCH_MIN_MS long
const EPOCH_MIN_MS = 10;
const MIN_RTT_AGE_MS = 10_000;
const PROBE_RTT_MS = 200;
const PROBE_RTT_GAIN = 0.5;
const INITIAL_WINDOW_BYTES = 32 * 1_400;
const MIN_WINDOW_BYTES = 8 * 1_400;
/**
 * Event loops answer in bursts: the window also covers what arrives in this time, and at least as much as was measured
 * of them lately. Milliseconds.
 */
const LOOP_ALLOWANCE_MS = 8;
const BURST_ALLOWANCE_MS = 40;
/** Startup ends when so many acknowledgements in a row tell of a queue; or when so much of a round is lost. */
const STARTUP_QUEUE_MS = 4;
const STARTUP_QUEUE_ROUNDTRIPS = 0.1;
const STARTUP_QUEUE_SAMPLES = 6;
const STARTUP_LOSS = 0.2;
const OUTAGE_LOSS = 0.8;
/**
 * What pacing lets through at once after a late wake-up: timers have a resolution of a millisecond. No more than queues
 * of devices and switches hold, which is a few hundred packets.
 */
const BURST_MS = 10;
const BURST_MIN_BYTES = 10 * 1_400;
const BURST_MAX_BYTES = 184 * 1_400;
/** Once pacing holds packets back, it waits until so much may leave together: batches are cheap, single ones dear. */
const QUANTUM_BYTES = 44 * 1_400;
const QUANTUM_MS = 1;

type Mode = 'startup' | 'drain' | 'cruise' | 'probe-rtt';

/** State of the counters when a packet was sent; kept by the log for each transmission. */
export interface SendStamp {
  sentAt: number;
  delivered: number;
  deliveredAt: number;
  firstSentAt: number;
  applicationLimited: boolean;
}

export class Congestion {
  /** Bytes sent and neither delivered nor lost. */
  inFlight = 0;
  /** Bytes delivered so far, and when that last changed: copied into each SendStamp. */
  delivered = 0;
  deliveredAt = 0;
  firstSentAt = 0;
  #mode: Mode = 'startup';
  #pacingGain = STARTUP_GAIN;
  #windowGain = STARTUP_GAIN;
  /** Bytes per millisecond; 0 until measured. */
  #rate = 0;
  readonly #epochRates = new Float64Array(RATE_EPOCHS);
  /** The largest bursts of acknowledgements, bytes beyond what the rate explains, by epoch. */
  readonly #epochBursts = new Float64Array(RATE_EPOCHS);
  #burst = 0;
  #burstBegan = 0;
  #burstBytes = 0;
  #epoch = 0;
  #epochBegan = 0;
  #minRttMs = Infinity;
  #minRttAt = 0;
  #roundEnds = 0;
  /** Acknowledgements in a row that tell of a queue. */
  #queueSamples = 0;
  /** Of the round that runs: bytes delivered before it, bytes lost. */
  #roundDelivered = 0;
  #roundLost = 0;
  #plateauRate = 0;
  #plateauRounds = 0;
  #cycle = 0;
  #cycleBegan = 0;
  #probeRttUntil = 0;
  /** Samples are application-limited until this many bytes are delivered. */
  #limitedUntil = 0;
  #nextSendAt = 0;
  #held = false;
  #window = INITIAL_WINDOW_BYTES;

  /** Bytes per second; 0 until measured. */
  get bytesPerSecond(): number {
    return this.#rate * 1_000;
  }

  get windowBytes(): number {
    return this.#window;
  }

  get minRttMs(): number {
    return this.#minRttMs;
  }

  get applicationLimited(): boolean {
    return this.#limitedUntil > this.delivered;
  }

  get hasRoom(): boolean {
    return this.inFlight < this.#window;
  }

  /** Milliseconds until pacing lets the next packet go; 0 for at once. */
  delayMs(now: number): number {
    if (!this.#held && this.#nextSendAt <= now) return 0;
    const quantumMs = Math.min(QUANTUM_MS, QUANTUM_BYTES / (this.#rate * this.#pacingGain));
    const opensAt = this.#nextSendAt + quantumMs;
    this.#held = opensAt > now;
    return this.#held ? opensAt - now : 0;
  }

  onSent(bytes: number, now: number): void {
    if (this.inFlight === 0) {
      this.firstSentAt = now;
      this.deliveredAt = now;
      // What follows a silence says how much there was to send, not how much the path takes.
      this.#limitedUntil = this.delivered + 1;
    }
    this.inFlight += bytes;
    if (this.#rate === 0) return; // the initial window leaves at once
    const pace = this.#rate * this.#pacingGain;
    const burstMs = Math.max(Math.min(BURST_MS, BURST_MAX_BYTES / pace), BURST_MIN_BYTES / pace);
    const earliest = now - burstMs;
    this.#nextSendAt = Math.max(this.#nextSendAt, earliest) + bytes / pace;
  }

  /** A packet arrived at the far end; `onAcknowledgement` follows once for the whole lot. */
  onDelivered(bytes: number): void {
    this.inFlight -= bytes;
    this.delivered += bytes;
  }

  /** A packet is lost, or was sent again without being known to be. */
  onLost(bytes: number): void {
    this.inFlight -= bytes;
    this.#roundLost += bytes;
  }

  /** There was nothing more to send although the window had room. */
  onIdle(): void {
    this.#limitedUntil = this.delivered + this.inFlight;
  }

  /** @param newest stamp of the packet sent last among those just delivered. */
  onAcknowledgement(newest: SendStamp, rttMs: number, now: number): void {
    this.#updateRtt(rttMs, now);
    const roundEnded = newest.delivered >= this.#roundEnds;
    this.#updateBurst(now);
    const sendMs = newest.sentAt - newest.firstSentAt;
    const ackMs = now - newest.deliveredAt;
    const intervalMs = Math.max(sendMs, ackMs);
    this.deliveredAt = now;
    this.firstSentAt = newest.sentAt;
    if (intervalMs > 0 && intervalMs >= this.#minRttMs) {
      this.#updateRate((this.delivered - newest.delivered) / intervalMs, newest.applicationLimited, roundEnded, now);
    }
    if (this.#mode === 'startup') this.#checkQueue(rttMs, newest.applicationLimited);
    if (roundEnded) this.#endRound(newest.applicationLimited);
    this.#advance(now);
    this.#updateWindow();
  }

  /** Where there is little to send the queue is another's: acknowledgements wait behind the far end's own data. */
  #checkQueue(rttMs: number, limited: boolean): void {
    const limitMs = this.#minRttMs + STARTUP_QUEUE_MS + STARTUP_QUEUE_ROUNDTRIPS * this.#minRttMs;
    const mayBeOurs = !limited || this.inFlight > Math.max(this.#rate * this.#minRttMs, INITIAL_WINDOW_BYTES);
    if (rttMs <= limitMs) this.#queueSamples = 0;
    else if (mayBeOurs) this.#queueSamples++;
    if (this.#queueSamples >= STARTUP_QUEUE_SAMPLES) this.#drain();
  }

  #endRound(limited: boolean): void {
    if (this.#mode === 'startup' && !limited) {
      this.#checkPlateau();
      this.#checkLoss();
    }
    this.#roundEnds = this.delivered;
    this.#roundDelivered = this.delivered;
    this.#roundLost = 0;
  }

  /** Where hardly anything arrived it was an outage, which tells nothing. */
  #checkLoss(): void {
    const arrived = this.delivered - this.#roundDelivered;
    const share = this.#roundLost / (arrived + this.#roundLost);
    if (arrived > MIN_WINDOW_BYTES && share > STARTUP_LOSS && share < OUTAGE_LOSS) this.#drain();
  }

  #drain(): void {
    this.#mode = 'drain';
    this.#pacingGain = 1 / STARTUP_GAIN;
  }

  /** Acknowledgements that come faster than the rate come in bursts: without room for them there would be gaps. */
  #updateBurst(now: number): void {
    const expected = this.#rate * (now - this.#burstBegan);
    const extra = this.delivered - this.#burstBytes - expected;
    if (extra <= 0 || this.#rate === 0) {
      this.#burstBegan = now;
      this.#burstBytes = this.delivered;
      return;
    }
    if (extra > (this.#epochBursts[this.#epoch] ?? 0)) this.#epochBursts[this.#epoch] = extra;
    if (extra > this.#burst) this.#burst = extra;
  }

  #updateRtt(rttMs: number, now: number): void {
    const expired = now - this.#minRttAt > MIN_RTT_AGE_MS;
    if (rttMs <= this.#minRttMs || expired) {
      if (expired && rttMs > this.#minRttMs && this.#mode === 'cruise') {
        this.#mode = 'probe-rtt';
        this.#pacingGain = 1;
        this.#windowGain = PROBE_RTT_GAIN;
        this.#probeRttUntil = now + Math.max(PROBE_RTT_MS, 2 * rttMs);
      }
      this.#minRttMs = rttMs;
      this.#minRttAt = now;
    }
  }

  #updateRate(sample: number, limited: boolean, roundEnded: boolean, now: number): void {
    if (roundEnded && now - this.#epochBegan >= EPOCH_MIN_MS && !limited) {
      this.#epochBegan = now;
      this.#epoch = (this.#epoch + 1) % RATE_EPOCHS;
      this.#epochRates[this.#epoch] = 0;
      this.#epochBursts[this.#epoch] = 0;
      this.#rate = Math.max(...this.#epochRates);
      this.#burst = Math.max(...this.#epochBursts);
    }
    if (limited && sample <= this.#rate) return;
    if (sample > (this.#epochRates[this.#epoch] ?? 0)) this.#epochRates[this.#epoch] = sample;
    if (sample > this.#rate) this.#rate = sample;
  }

  #checkPlateau(): void {
    if (this.#rate >= this.#plateauRate * PLATEAU_GROWTH) {
      this.#plateauRate = this.#rate;
      this.#plateauRounds = 0;
    } else if (++this.#plateauRounds >= PLATEAU_ROUNDS) this.#drain();
  }

  #advance(now: number): void {
    const bdp = this.#rate * this.#minRttMs;
    if (this.#mode === 'drain' && this.inFlight <= bdp + this.#rate * LOOP_ALLOWANCE_MS) this.#cruise(2, now);
    if (this.#mode === 'probe-rtt' && now >= this.#probeRttUntil) this.#cruise(2, now);
    if (this.#mode !== 'cruise') return;
    const phaseMs = Math.max(this.#minRttMs, EPOCH_MIN_MS);
    const drained = this.#cycle === 1 && this.inFlight <= bdp;
    if (now - this.#cycleBegan < phaseMs && !drained) return;
    const isCut = this.#cycle >= 1 && this.#chance() < CYCLE_CUT;
    this.#cruise(isCut ? 0 : (this.#cycle + 1) % CYCLE_GAINS.length, now);
  }

  /** 0 to 1, other for each flow: from what it has delivered, so that nothing from outside is needed. */
  #chance(): number {
    return (Math.imul(this.delivered, 2_654_435_761) >>> 0) / 2 ** 32;
  }

  #cruise(cycle: number, now: number): void {
    this.#mode = 'cruise';
    this.#cycle = cycle;
    this.#cycleBegan = now;
    this.#pacingGain = CYCLE_GAINS[cycle] ?? 1;
    this.#windowGain = WINDOW_GAIN;
  }

  #updateWindow(): void {
    if (this.#rate === 0) return;
    const burst = Math.min(Math.max(this.#burst, this.#rate * LOOP_ALLOWANCE_MS), this.#rate * BURST_ALLOWANCE_MS);
    const bytes = this.#rate * this.#windowGain * this.#minRttMs + burst;
    const floor = this.#mode === 'startup' ? INITIAL_WINDOW_BYTES : MIN_WINDOW_BYTES;
    this.#window = Math.max(bytes, floor);
  }
}
