/** Pictures in terminals: each protocol's text is taken apart again. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unzlibSync } from 'fflate';
import { detectTerminalGraphics, halfBlocks, sixel, terminalImage } from '../../src/cli/terminal-image.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';

const image = createImage(
  120,
  80,
  3,
  Uint8Array.from({ length: 120 * 80 * 3 }, (_, i) => (i * 31) & 255),
);

test('kitty: chunks of at most 4096 characters that join to the pixels', async () => {
  const text = await terminalImage(image, { graphics: 'kitty', columns: 40 });
  const chunks = [...text.matchAll(/\x1b_G([^;]*);([^\x1b]*)\x1b\\/g)];
  assert.match(chunks[0]?.[1] ?? '', /^a=T,q=2,f=24,o=z,s=120,v=80,c=40,m=\d$/);
  assert.ok(
    chunks.every(
      ([, keys, data], i) => (data ?? '').length <= 4096 && keys?.endsWith(i === chunks.length - 1 ? 'm=0' : 'm=1'),
    ),
  );
  assert.deepEqual(unzlibSync(Buffer.from(chunks.map(([, , data]) => data).join(''), 'base64')), image.data);
});

test('iTerm2: a PNG of the picture', async () => {
  const text = await terminalImage(image, { graphics: 'iterm2', columns: 30, rows: 5 });
  const [, size, width, data = ''] =
    /1337;File=inline=1;size=(\d+);width=(\d+);preserveAspectRatio=1:([A-Za-z0-9+/=]+)/.exec(text) ?? [];
  const file = new Uint8Array(Buffer.from(data, 'base64'));
  assert.deepEqual([Number(size), Number(width)], [file.length, 15]);
  assert.deepEqual(await nodeImageCodec.decode(file), image);
});

/** A small sixel reader: levels in percent at each pixel. */
function readSixel(text: string, width: number, height: number): number[][] {
  const body = text.slice(text.indexOf('q') + 1, text.lastIndexOf('\x1b'));
  const palette = new Map<number, number[]>();
  const pixels: number[][] = Array.from({ length: width * height }, () => []);
  let [x, top, colour] = [0, 0, 0];
  for (const [token, definition, repeat, letter] of body.matchAll(
    /"[\d;]+|#(\d+(?:;2;\d+;\d+;\d+)?)|(?:!(\d+))?([?-~])|\$|-/g,
  )) {
    if (definition !== undefined) {
      const numbers = definition.split(';').map(Number);
      colour = numbers[0] ?? 0;
      if (numbers.length > 1) palette.set(colour, numbers.slice(2));
    } else if (letter !== undefined) {
      const bits = letter.charCodeAt(0) - 63;
      for (let n = 0; n < Number(repeat ?? 1); n++, x++)
        for (let bit = 0; bit < 6; bit++)
          if (bits & (1 << bit)) pixels[(top + bit) * width + x] = palette.get(colour) ?? [];
    } else if (token === '$' || token === '-') {
      x = 0;
      if (token === '-') top += 6;
    }
  }
  return pixels;
}

test('sixel: every pixel is set once, near its colour', () => {
  const flat = createImage(
    17,
    13,
    3,
    Uint8Array.from({ length: 17 * 13 * 3 }, (_, i) => [255, 0, 102][i % 3] as number),
  );
  const pixels = readSixel(sixel(flat), 17, 13);
  for (const [r, g, b] of pixels) assert.deepEqual([r, g], [100, 0], String(b));
  const mean = pixels.reduce((sum, [, , b]) => sum + (b as number), 0) / pixels.length;
  assert.ok(Math.abs(mean - 40) < 4, `mean blue ${mean}`);
});

test('half blocks: two rows a line, equal neighbours share a style, odd heights end without a background', () => {
  const red = createImage(
    3,
    3,
    3,
    Uint8Array.from({ length: 27 }, (_, i) => (i % 3 === 0 ? 255 : 0)),
  );
  const lines = halfBlocks(red).split('\n');
  assert.equal(lines[0], '\x1b[38;2;255;0;0;48;2;255;0;0m▀▀▀\x1b[0m');
  assert.equal(lines[1], '\x1b[38;2;255;0;0m▀▀▀\x1b[0m');
  assert.equal(halfBlocks(red, 8).split('\n')[0], '\x1b[38;5;196;48;5;196m▀▀▀\x1b[0m');
  assert.match(halfBlocks(createImage(1, 1, 3, Uint8Array.of(128, 128, 128)), 8), /38;5;244m/);
});

test('the picture keeps its shape within columns and rows', async () => {
  const count = async (columns: number, rows?: number) => {
    const lines = (await terminalImage(image, { graphics: 'blocks', columns, ...(rows ? { rows } : {}) }))
      .trimEnd()
      .split('\n');
    return [lines.length, lines[0]?.match(/▀/g)?.length];
  };
  assert.deepEqual(await count(60), [20, 60]);
  assert.deepEqual(await count(60, 10), [10, 30]);
  assert.deepEqual(await count(1), [1, 1]);
  assert.equal(await terminalImage(image, { graphics: 'none' }), '');
});

test('detection by environment', () => {
  const rows: [Record<string, string>, boolean, string][] = [
    [{ TERM: 'xterm-kitty' }, true, 'kitty'],
    [{ TERM: 'xterm-256color', TERM_PROGRAM: 'iTerm.app' }, true, 'iterm2'],
    [{ TERM: 'foot' }, true, 'sixel'],
    [{ TERM: 'xterm-256color' }, true, 'blocks'],
    [{ TERM: 'xterm-kitty', TMUX: '/tmp/x' }, true, 'blocks'],
    [{ TERM: 'xterm-256color', NO_COLOR: '1' }, true, 'none'],
    [{ TERM: 'dumb' }, true, 'none'],
    [{ TERM: 'xterm-kitty' }, false, 'none'],
  ];
  for (const [environment, isTerminal, graphics] of rows)
    assert.equal(detectTerminalGraphics(environment, isTerminal), graphics);
});
