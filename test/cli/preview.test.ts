/** Pictures while they are made: in a terminal each takes the place of the one before. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CliContext, textOutput } from '../../src/cli/command.ts';
import { createPreview } from '../../src/cli/show.ts';
import { createImage } from '../../src/image/image.ts';

const progress = { stage: () => {}, step: () => {}, clear: () => {} };

function terminal(written: string[], rows?: number): CliContext {
  const output = textOutput({
    write: (text: string) => void written.push(text),
    isTerminal: true,
    columns: 80,
    rows,
  });
  return {
    out: output,
    err: output,
    input: (async function* () {})(),
    environment: {},
    signal: new AbortController().signal,
    now: () => 0,
  };
}

const lines = (text: string | undefined): number => (text ?? '').split('\n').length - 1;

test('a preview in half blocks fits the terminal, and the next one is written over it', async () => {
  const written: string[] = [];
  const preview = createPreview(terminal(written, 24), progress, 'blocks');
  await preview.show([createImage(128, 128, 3)]);
  assert.equal(lines(written[0]), 22);
  await preview.show([createImage(128, 128, 3)]);
  assert.equal(written[1], '\x1b[22A\x1b[J');
  assert.equal(written[2], written[0]);
  preview.clear();
  preview.clear();
  assert.deepEqual(written.slice(3), ['\x1b[22A\x1b[J']);
});

test('two pictures share the terminal', async () => {
  const written: string[] = [];
  await createPreview(terminal(written, 24), progress, 'blocks').show([createImage(64, 64, 3), createImage(64, 64, 3)]);
  assert.equal(lines(written[0]), 22);
});

test('nothing is taken back where the height is not known, or the picture is not of characters', async () => {
  for (const [rows, graphics] of [
    [undefined, 'blocks'],
    [24, 'kitty'],
  ] as const) {
    const written: string[] = [];
    const preview = createPreview(terminal(written, rows), progress, graphics);
    await preview.show([createImage(16, 16, 3)]);
    preview.clear();
    assert.equal(written.length, 1, graphics);
  }
});
