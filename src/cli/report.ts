/** What a failed command says and ends with: one line what and why, one line what to do; JSON with --json. */
import { understand } from '../daemon/failure.ts';
import { ERROR_CODES, EXIT, type ErrorCode } from '../errors.ts';
import { escapeControls } from '../log.ts';

interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | undefined;
  readonly exit: number;
}

/**
 * @param command the id of the command that failed, if it came so far.
 * @returns the exit code.
 */
export function report(error: unknown, argv: readonly string[], command: string | undefined): number {
  // oclif ends help and version so.
  const exit = oclifExit(error);
  if (exit !== undefined && error instanceof Error && 'code' in error && error.code === 'EEXIT') return exit;
  const failure = failureOf(error, command);
  if (argv.includes('--json')) {
    const { code, message, hint } = failure;
    // What watch prints is read line by line.
    const indent = command === 'watch' ? 0 : 2;
    process.stdout.write(`${JSON.stringify({ error: { code, message, hint } }, null, indent)}\n`);
  }
  process.stderr.write(`peerfs: ${escapeControls(failure.message)}\n`);
  if (failure.hint !== undefined) process.stderr.write(`${escapeControls(failure.hint)}\n`);
  return failure.exit;
}

function failureOf(error: unknown, command: string | undefined): Failure {
  const known = understand(error);
  if (known !== undefined) {
    return { code: known.code, message: known.message, hint: known.hint, exit: ERROR_CODES[known.code].exit };
  }
  if (oclifExit(error) !== undefined && error instanceof Error) {
    return {
      code: 'USAGE',
      message: missingArguments(error) ?? plainMessage(error),
      hint: `See: peerfs help${command === undefined || command === 'help' ? '' : ` ${command.replaceAll(':', ' ')}`}`,
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

/** oclif's RequiredArgsError lists the arguments in a table; here they stand in a line. */
function missingArguments(error: Error): string | undefined {
  if (!('args' in error) || !Array.isArray(error.args)) return undefined;
  const missing = error.args.filter(
    (one): one is { name: string; description?: string } => typeof one === 'object' && one !== null && 'name' in one,
  );
  if (missing.length === 0) return undefined;
  return `missing: ${missing.map((one) => `${one.name} (${one.description ?? ''})`).join(', ')}`;
}

/** oclif appends its own advice after the first lines. */
function plainMessage(error: Error): string {
  return (error.message.split('\nSee more help')[0] ?? '').trim().replaceAll('\n', ' ');
}

/** Errors of oclif carry an exit code in `oclif.exit`. */
function oclifExit(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('oclif' in error)) return undefined;
  const { oclif } = error;
  if (typeof oclif !== 'object' || oclif === null || !('exit' in oclif)) return undefined;
  return typeof oclif.exit === 'number' ? oclif.exit : undefined;
}
