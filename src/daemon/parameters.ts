/** Parameters of control requests: JSON from another process, checked before use. @throws USAGE each. */
import { isAbsolute, resolve } from 'node:path';
import { PeerfsError } from '../errors.ts';
import { petnameFault } from './config.ts';

export type Parameters = Readonly<Record<string, unknown>>;

const wrong = (name: string, what: string) => new PeerfsError('USAGE', `${name} must be ${what}`);

export function text(parameters: Parameters, name: string): string {
  const value = parameters[name];
  if (typeof value !== 'string') throw wrong(name, 'text');
  return value;
}

export function optionalText(parameters: Parameters, name: string): string | undefined {
  return parameters[name] === undefined ? undefined : text(parameters, name);
}

export function optionalTexts(parameters: Parameters, name: string): string[] | undefined {
  const value = parameters[name];
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) throw wrong(name, 'a list of texts');
  return value;
}

export function flag(parameters: Parameters, name: string): boolean {
  const value = parameters[name] ?? false;
  if (typeof value !== 'boolean') throw wrong(name, 'true or false');
  return value;
}

export function positive(parameters: Parameters, name: string): number {
  const value = parameters[name];
  if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value)) throw wrong(name, 'a positive number');
  return value;
}

/** An absolute path, normalized. */
export function directory(parameters: Parameters, name: string): string {
  const value = text(parameters, name);
  if (!isAbsolute(value) || value.includes('\0')) throw wrong(name, 'an absolute path');
  return resolve(value);
}

/** @throws BAD_NAME */
export function checkPetname(name: string): string {
  const fault = petnameFault(name);
  if (fault === undefined) return name;
  throw new PeerfsError('BAD_NAME', `${JSON.stringify(name)} cannot be a name: ${fault}`, {
    hint: 'A name has 1 to 64 bytes, no "/" and no control character, and does not begin with ".".',
  });
}
