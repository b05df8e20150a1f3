/** `host:port` as people write it, and as it is shown to them: IPv6 stands in brackets. */

const HIGHEST_PORT = 65_535;

/** @param host a name, or numeric without brackets. */
export function formatHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * The host, without brackets, is not looked at further.
 * @returns undefined unless the text is `host:port` with a port of 0 to 65535.
 */
export function parseHostPort(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host !== undefined && port <= HIGHEST_PORT ? { host, port } : undefined;
}
