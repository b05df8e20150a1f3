/**
 * SessionKeys: what a finished handshake leaves behind for one session, handed to createSession or createStream,
 * which takes the keys out and wipes them. Owns the secrets between the two; does not derive or use them.
 */

/** The secrets of one session, 32 bytes each. */
export interface SessionSecrets {
  /** From us to the peer. */
  readonly send: Uint8Array;
  /** From the peer to us. */
  readonly receive: Uint8Array;
}

export class SessionKeys {
  /** Hash of the handshake, 64 bytes, the same on both sides; not secret. */
  readonly handshakeHash: Uint8Array;
  /** X25519 public keys, 32 bytes: datagrams to a side carry their index masked by a key made from it. */
  readonly localDhPublicKey: Uint8Array;
  readonly remoteDhPublicKey: Uint8Array;
  #secrets: SessionSecrets | undefined;

  /** @param secrets belong to the new object from then on. */
  constructor(options: {
    secrets: SessionSecrets;
    handshakeHash: Uint8Array;
    localDhPublicKey: Uint8Array;
    remoteDhPublicKey: Uint8Array;
  }) {
    this.#secrets = options.secrets;
    this.handshakeHash = options.handshakeHash;
    this.localDhPublicKey = options.localDhPublicKey;
    this.remoteDhPublicKey = options.remoteDhPublicKey;
  }

  /**
   * Passes the secrets to `use` and wipes them after it.
   * @throws Error if they were used or wiped before.
   */
  use<T>(use: (secrets: SessionSecrets) => T): T {
    const secrets = this.#secrets;
    if (secrets === undefined) throw new Error('session keys used twice');
    try {
      return use(secrets);
    } finally {
      this.destroy();
    }
  }

  /** Wipes the secrets; idempotent. */
  destroy(): void {
    this.#secrets?.send.fill(0);
    this.#secrets?.receive.fill(0);
    this.#secrets = undefined;
  }
}
