/**
 * The sealed text of an invitation: opaque bytes (src/wire describes them) under a code of words.
 */

/** Longest content. Bytes. */
export const INVITATION_MAX_BYTES = 4096;

/** @param code as generateCode or parseCode gives it. */
export async function sealInvitation(content: Uint8Array, code: string): Promise<string> {
  void content;
  void code;
  throw new Error('not built yet');
}

/**
 * @param text the invitation; white space and line breaks anywhere in it do not matter.
 * @throws PeerfsError INVITE_MALFORMED (damaged or not an invitation), INVITE_VERSION, INVITE_WRONG_CODE.
 */
export async function openInvitation(text: string, code: string): Promise<Uint8Array> {
  void text;
  void code;
  throw new Error('not built yet');
}
