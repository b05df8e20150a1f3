/**
 * Rendezvous in the BitTorrent mainline DHT. Owns the meetings and how many lookups and puts run at once over all of them.
 * Does not own the node (dht-node.ts) or what one meeting does when (dht-meeting.ts).
 */
import { randomBytes } from 'node:crypto';
import { DhtMeeting } from './dht-meeting.ts';
import { openDhtNode, type DhtNodeOptions, type DhtStatus } from './dht-node.ts';
import type { Rendezvous } from './rendezvous.ts';

/** Tuning. */
/** Jobs at once: a look at two or three places, or a publication. Most of their time they wait for nodes that are gone. */
const MAX_JOBS = 12;
/** Urgent jobs in a row before a patient one has its turn. */
const MAX_URGENT_RUN = 3;

export type DhtOptions = Omit<DhtNodeOptions, 'randomBytes'>;

export interface Dht extends Rendezvous {
  readonly way: 'dht';
  readonly status: DhtStatus;
  /** Tells of every change of state. @returns what ends that. */
  onStatus(listener: (status: DhtStatus) => void): () => void;
  /** The host's addresses changed, or it woke: asks the first nodes anew, under a new id. */
  networkChanged(): void;
  /** Closes all meetings too. Idempotent. */
  close(): void;
}

type Job = () => Promise<void>;

/** Begins at once; never waits for the network. */
export function openDht(options: DhtOptions): Dht {
  const { clock, random } = options;
  const meetings = new Set<DhtMeeting>();
  const listeners = new Set<(status: DhtStatus) => void>();
  const enqueue = createJobQueue();
  const node = openDhtNode({ ...options, randomBytes: (length) => randomBytes(length) });
  let closed = false;

  node.onState = () => {
    for (const meeting of [...meetings]) meeting.nodeChanged();
    for (const listener of [...listeners]) listener(node.status);
  };

  return {
    way: 'dht',

    get status() {
      return node.status;
    },

    onStatus(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },

    meet(meetingOptions) {
      const meeting = new DhtMeeting({
        ...meetingOptions,
        node,
        clock,
        random,
        enqueue,
        passive: () => [...meetings].filter(({ mode }) => mode === 'passive').length,
        onClose: () => meetings.delete(meeting),
      });
      if (closed) meeting.close();
      else meetings.add(meeting);
      return meeting;
    },

    networkChanged: () => node.restart(),

    close() {
      if (closed) return;
      closed = true;
      for (const meeting of [...meetings]) meeting.close();
      node.close();
      listeners.clear();
    },
  };
}

/** Runs at most MAX_JOBS at once. Each meeting has at most two in it, which bounds it. */
function createJobQueue(): (job: Job, urgent: boolean) => void {
  const urgentJobs: Job[] = [];
  const patientJobs: Job[] = [];
  let running = 0;
  let urgentRun = 0;

  function next(): Job | undefined {
    const patient = urgentRun >= MAX_URGENT_RUN ? patientJobs.shift() : undefined;
    const urgent = patient === undefined ? urgentJobs.shift() : undefined;
    urgentRun = urgent === undefined ? 0 : urgentRun + 1;
    return patient ?? urgent ?? patientJobs.shift();
  }

  function run(): void {
    while (running < MAX_JOBS) {
      const job = next();
      if (job === undefined) return;
      running += 1;
      void job().finally(() => {
        running -= 1;
        run();
      });
    }
  }

  return (job, urgent) => {
    (urgent ? urgentJobs : patientJobs).push(job);
    run();
  };
}
