/**
 * The process of a node: parses what it was given, runs the node, turns signals into an orderly end. Started by
 * src/daemon/launch.ts, to which it reports over the IPC channel.
 */
import { writeFileSync } from 'node:fs';
import { systemClock } from '../clock.ts';
import { EXIT } from '../errors.ts';
import { createLogger, type Logger } from '../log.ts';
import { loadConfig } from './config.ts';
import { toControlError, traceOf } from './failure.ts';
import { prepareHome } from './home.ts';
import type { FirstMessage, NodeArguments, NodeReport } from './launch.ts';
import { openLogFile } from './log-file.ts';
import { loadNode } from './load-node.ts';
import type { Node } from './node.ts';

function report(message: NodeReport): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) resolve();
    else process.send(message, undefined, undefined, () => resolve());
  });
}

function parseArguments(text: string | undefined): Omit<NodeArguments, keyof FirstMessage> {
  return JSON.parse(text ?? '') as Omit<NodeArguments, keyof FirstMessage>;
}

function receiveFirst(): Promise<FirstMessage> {
  return new Promise((resolve) => {
    if (process.send === undefined) resolve({ overrides: {} });
    else process.once('message', (first) => resolve(first as FirstMessage));
  });
}

let node: Node | undefined;
let ending = false;

async function end(log: Logger, reason: string, status: number): Promise<void> {
  if (ending) {
    log.warn('node.forced', { reason });
    process.exit(EXIT.failed);
  }
  ending = true;
  log.info('node.stopping', { reason });
  try {
    await node?.stop();
  } catch (error) {
    log.error('node.stop', { error: traceOf(error) });
    process.exit(EXIT.failed);
  }
  log.info('node.stopped');
  process.exit(status);
}

async function main(): Promise<void> {
  const given = parseArguments(process.argv[2]);
  // Peers' umasks are applied at their end; every file of our own is made with its mode.
  process.umask(0);
  const home = prepareHome(given.home);
  const { overrides, passphrase } = await receiveFirst();
  const config = loadConfig(home.configFile, overrides);
  const file = given.foreground ? undefined : openLogFile(home.logFile);
  const log = createLogger(config.logLevel, (line) =>
    file === undefined ? process.stderr.write(`${line}\n`) : file.writeLine(line),
  );
  const onSignal = (signal: string) => void end(log, signal, EXIT.ok);
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  process.on('SIGHUP', given.foreground ? onSignal : () => log.info('signal.ignored'));
  process.on('uncaughtException', (error) => {
    log.error('node.crash', { error: traceOf(error) });
    void end(log, 'crash', EXIT.failed);
  });
  process.on('unhandledRejection', (error) => {
    log.error('node.rejection', { error: traceOf(error) });
  });
  if (given.foreground) process.stdin.on('end', () => onSignal('parent ended')).resume();

  const { startNode } = await loadNode();
  node = await startNode({
    home,
    config,
    passphrase,
    log,
    clock: systemClock,
    onStop: () => onSignal('asked to'),
    onProgress: (progress) => void report({ progress }),
  });
  writeFileSync(home.pidFile, `${process.pid}\n`, { mode: 0o600 });
  try {
    const mount = given.mount === undefined ? undefined : await node.mount(given.mount);
    const { listening } = node;
    await report({ ready: { pid: process.pid, listening, mount } });
  } catch (error) {
    // A node that was started for a mount does not stay behind without it.
    await node.stop();
    throw error;
  }
  if (process.connected) process.disconnect();
}

main().catch(async (error: unknown) => {
  await report({ error: toControlError(error) });
  process.exit(EXIT.failed);
});
