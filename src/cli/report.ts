/** What a failed command says and ends with: one line what and why, one line what to do; JSON with --json. */
import { ERROR_CODES, EXIT, PeerfsError, type ErrorCode } from '../errors.ts';
import { escapeControls } from '../log.ts';

interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | undefined;
  readonly exit: number;
}

/** @returns the exit code. */
export function report(error: unknown, argv: readonly string[]): number {
  // oclif ends help and version so.
  const exit = oclifExit(error);
  if (exit !== undefined && error instanceof Error && 'code' in error && error.code === 'EEXIT') return exit;
  const failure = understand(error, argv);
  if (argv.includes('--json')) {
    const { code, message, hint } = failure;
    process.stdout.write(`${JSON.stringify({ error: { code, message, hint } }, null, 2)}\n`);
  }
  process.stderr.write(`peerfs: ${escapeControls(failure.message)}\n`);
  if (failure.hint !== undefined) process.stderr.write(`${escapeControls(failure.hint)}\n`);
  return failure.exit;
}

function understand(error: unknown, argv: readonly string[]): Failure {
  if (error instanceof PeerfsError) {
    return { code: error.code, message: error.message, hint: error.hint, exit: ERROR_CODES[error.code].exit };
  }
  if (oclifExit(error) !== undefined && error instanceof Error) {
    const words = argv.filter((word) => !word.startsWith('-')).slice(0, 1);
    const known = error.message.startsWith('command ') ? [] : words;
    return {
      code: 'USAGE',
      // oclif appends its own advice after the first lines.
      message: error.message.split('\nSee more help')[0]?.trim().replaceAll('\n', ' ') ?? error.message,
      hint: `See: peerfs help${known.length > 0 ? ` ${known.join(' ')}` : ''}`,
      exit: EXIT.usage,
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: 'EIO',
    message: `unexpected: ${message}`,
    hint: 'This is a fault of peerfs; please report it. PEERFS_DEBUG=1 shows where it happened.',
    exit: EXIT.failed,
  };
}

/** Errors of oclif carry an exit code in `oclif.exit`. */
function oclifExit(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('oclif' in error)) return undefined;
  const { oclif } = error;
  if (typeof oclif !== 'object' || oclif === null || !('exit' in oclif)) return undefined;
  return typeof oclif.exit === 'number' ? oclif.exit : undefined;
}
