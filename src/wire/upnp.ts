/**
 * The texts of UPnP with which a router is found and asked to open a port: the search of SSDP (UPnP Device Architecture
 * 1.1 section 1.3), the description of a device (section 2), and the calls of WANIPConnection:1 and :2. Owns writing and
 * reading; who is believed is src/net/upnp.ts. What a router sends is searched for a few tags, not parsed as XML: no
 * entities but the five of XML, no nesting, nothing fetched.
 */

/** Specification. */
export const SSDP_ADDRESS = { host: '239.255.255.250', port: 1900 } as const;
const SEARCH_TARGETS = [
  'urn:schemas-upnp-org:device:InternetGatewayDevice:1',
  'urn:schemas-upnp-org:device:InternetGatewayDevice:2',
  'urn:schemas-upnp-org:service:WANIPConnection:1',
  'urn:schemas-upnp-org:service:WANPPPConnection:1',
] as const;
/** Those that open ports, the better first. */
const SERVICE_TYPES = [
  'urn:schemas-upnp-org:service:WANIPConnection:2',
  'urn:schemas-upnp-org:service:WANIPConnection:1',
  'urn:schemas-upnp-org:service:WANPPPConnection:1',
] as const;

/** UPnP error codes of WANIPConnection:2 section 2.5, and 402 of the architecture. */
export const UPNP_ERROR = {
  invalidArgs: 402,
  notAuthorized: 606,
  noSuchEntry: 714,
  conflict: 718,
  samePortRequired: 724,
  onlyPermanentLeases: 725,
  conflictsWithOther: 729,
} as const;

/** Tuning. */
const MAX_REPLY_BYTES = 4096;
const MAX_URL_LENGTH = 1024;
const MAX_SERVICES = 64;
const MAX_DIGITS = 5;

export interface UpnpService {
  readonly type: (typeof SERVICE_TYPES)[number];
  /** As the description has it: absolute or relative. */
  readonly controlUrl: string;
}

export interface UpnpDescription {
  /** What relative addresses start from, where the description says so (UPnP 1.0). */
  readonly base: string | undefined;
  /** Those that open ports, the better first. */
  readonly services: readonly UpnpService[];
}

/** @param waitSeconds by when a router is to answer. */
export function encodeSearches(waitSeconds: number): Buffer[] {
  return SEARCH_TARGETS.map((target) =>
    Buffer.from(
      [
        'M-SEARCH * HTTP/1.1',
        `HOST: ${SSDP_ADDRESS.host}:${SSDP_ADDRESS.port}`,
        'MAN: "ssdp:discover"',
        `MX: ${waitSeconds}`,
        `ST: ${target}`,
        '',
        '',
      ].join('\r\n'),
      'latin1',
    ),
  );
}

/** @returns the address of the description that an answer to a search of ours names. */
export function decodeSearchReply(datagram: Uint8Array): string | undefined {
  if (datagram.length > MAX_REPLY_BYTES) return undefined;
  const [status = '', ...headers] = Buffer.from(datagram).toString('latin1').split('\r\n');
  if (!/^HTTP\/1\.[01] 200( |$)/.test(status)) return undefined;
  const valueOf = (name: string): string | undefined => {
    const line = headers.find((header) => header.slice(0, name.length + 1).toLowerCase() === `${name}:`);
    return line?.slice(name.length + 1).trim();
  };
  const target = valueOf('st');
  const location = valueOf('location');
  const isAnswer = SEARCH_TARGETS.some((known) => known === target);
  return isAnswer && location !== undefined && location.length <= MAX_URL_LENGTH ? location : undefined;
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/**
 * What stands between the first `<name>` (or `<prefix:name>`, with attributes or without) at or after `from` and the end
 * of it. Linear in the text.
 */
function element(text: string, name: string, from = 0): { readonly content: string; readonly end: number } | undefined {
  for (let at = text.indexOf(name, from); at >= 0; at = text.indexOf(name, at + 1)) {
    const before = text[at - 1];
    const after = text[at + name.length] ?? '';
    const opens =
      before === '<' || (before === ':' && /<[A-Za-z][\w.-]{0,30}:$/.test(text.slice(Math.max(0, at - 33), at)));
    if (!opens || !/[\s>]/.test(after)) continue;
    const start = text.indexOf('>', at) + 1;
    if (start === 0) return undefined;
    for (let end = text.indexOf(name, start); end >= 0; end = text.indexOf(name, end + 1)) {
      const closing = /<\/(?:[A-Za-z][\w.-]{0,30}:)?$/.exec(text.slice(Math.max(start, end - 34), end));
      if (closing !== null && /[\s>]/.test(text[end + name.length] ?? '')) {
        return { content: text.slice(start, end - closing[0].length), end };
      }
    }
    return undefined;
  }
  return undefined;
}

function textOf(xml: string, name: string): string | undefined {
  const found = element(xml, name)?.content.trim();
  if (found === undefined || found.length > MAX_URL_LENGTH || found.includes('<')) return undefined;
  return found.replace(/&(amp|lt|gt|quot|apos);/g, (_, entity: string) => ENTITIES[entity] ?? '');
}

/** @param xml bounded by the caller. */
export function decodeDescription(xml: string): UpnpDescription {
  const services: UpnpService[] = [];
  let from = 0;
  for (let count = 0; count < MAX_SERVICES; count++) {
    const service = element(xml, 'service', from);
    if (service === undefined) break;
    from = service.end;
    const named = textOf(service.content, 'serviceType');
    const type = SERVICE_TYPES.find((known) => known === named);
    const controlUrl = textOf(service.content, 'controlURL');
    if (type !== undefined && controlUrl !== undefined && controlUrl !== '') services.push({ type, controlUrl });
  }
  services.sort((a, b) => SERVICE_TYPES.indexOf(a.type) - SERVICE_TYPES.indexOf(b.type));
  return { base: textOf(xml, 'URLBase'), services };
}

/** Values are ours: numbers, addresses and plain words, in which nothing needs to be escaped. */
export function encodeCall(
  serviceType: UpnpService['type'],
  action: string,
  values: Readonly<Record<string, string | number>>,
): Buffer {
  const inner = Object.entries(values)
    .map(([name, value]) => `<${name}>${value}</${name}>`)
    .join('');
  return Buffer.from(
    '<?xml version="1.0"?>\r\n' +
      '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" ' +
      's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>' +
      `<u:${action} xmlns:u="${serviceType}">${inner}</u:${action}></s:Body></s:Envelope>\r\n`,
    'latin1',
  );
}

/** @returns the code of a fault; undefined when the text names none. */
export function decodeFault(xml: string): number | undefined {
  const digits = textOf(xml, 'errorCode');
  return digits !== undefined && digits.length <= MAX_DIGITS && /^\d+$/.test(digits) ? Number(digits) : undefined;
}

/** @returns the value that a call's answer holds under this name. */
export function decodeAnswer(xml: string, name: string): string | undefined {
  return textOf(xml, name);
}
