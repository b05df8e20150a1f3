import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chosenCommand, globalFlagsLast } from '../../src/cli/command-line.ts';

const IDS = ['peers', 'peers:rename', 'peers:remove', 'config:get', 'stop'];

describe('the words of a command line', () => {
  it('the longest command that fits is meant, the rest is its own', () => {
    assert.deepEqual(chosenCommand(['peers', 'rename', 'a', 'b'], IDS), { id: 'peers:rename', argv: ['a', 'b'] });
    assert.deepEqual(chosenCommand(['peers', '--json'], IDS), { id: 'peers', argv: ['--json'] });
    assert.deepEqual(chosenCommand(['stop', 'rename'], IDS), { id: 'stop', argv: ['rename'] });
  });

  it('nothing, a topic and a call for help name no command', () => {
    for (const argv of [[], ['config'], ['--help'], ['--version'], ['-h']]) {
      assert.equal(chosenCommand(argv, IDS), undefined);
    }
  });

  it('an unknown command is named as it was written, with what there is', () => {
    assert.throws(() => chosenCommand(['frob', 'x'], IDS), { code: 'USAGE', message: /"frob"/ });
    assert.throws(() => chosenCommand(['config', 'put', 'x'], IDS), { message: /"config put"/, hint: /get/ });
    assert.throws(() => chosenCommand(['--frob'], IDS), { code: 'USAGE', message: /--frob/ });
  });

  it('global flags may stand before the command', () => {
    assert.deepEqual(globalFlagsLast(['--json', '--home', 'x', 'peers']), ['peers', '--json', '--home', 'x']);
    assert.deepEqual(globalFlagsLast(['--home=x', 'share', '--', '-d']), ['share', '--home=x', '--', '-d']);
    assert.deepEqual(globalFlagsLast(['peers', '--json']), ['peers', '--json']);
    assert.deepEqual(globalFlagsLast(['--home']), ['--home']);
  });
});
