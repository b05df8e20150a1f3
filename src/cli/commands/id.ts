import { command } from '../command.ts';

export default command({
  summary: "Show this node's id, and words to compare aloud.",
  examples: ['id', 'id --json'],
  async run({ ask, print }) {
    const id = await ask('id', {});
    print(id, `${id.name}\nid:     ${id.id}\nwords:  ${id.fingerprint.join(' ')}`);
  },
});
