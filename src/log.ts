/**
 * The log: one line an event, to standard error. Owns levels and escaping.
 *
 * At the default level (`info`) no line may hold a file name, key, code or address; callers see to that, and the
 * tests look for canaries. Control characters never reach the terminal raw.
 */

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Logger {
  error(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  debug(event: string, fields?: LogFields): void;
}

const ORDER: readonly LogLevel[] = ['error', 'warn', 'info', 'debug'];

/**
 * Replaces control characters (C0, DEL, C1) by \xNN, and those that turn the direction of writing or break lines by
 * \uNNNN, so that text can be shown on a terminal.
 */
export function escapeControls(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`;
  });
}

/** @param write receives whole lines without the newline. */
export function createLogger(level: LogLevel, write: (line: string) => void): Logger {
  const limit = ORDER.indexOf(level);
  const at =
    (own: LogLevel) =>
    (event: string, fields: LogFields = {}) => {
      if (ORDER.indexOf(own) > limit) return;
      const rest = Object.entries(fields)
        .filter(([, value]) => value !== undefined)
        .map(([key, value]) => ` ${key}=${String(value)}`)
        .join('');
      write(escapeControls(`${new Date().toISOString()} ${own} ${event}${rest}`));
    };
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') };
}

export const silentLogger: Logger = createLogger('error', () => undefined);
