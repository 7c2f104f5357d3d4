/**
 * A picture as terminal text: the kitty graphics protocol, iTerm2's inline images, sixel (DEC STD 070, chapter 7), or coloured half blocks,
 * which every current terminal shows. Pure functions: the terminal's capabilities are an argument.
 */

import { zlibSync } from 'fflate';
import { flatten, type Image } from '../image/image.ts';
import { encodePng } from '../image/codec/png-encode.ts';
import { resize } from '../image/resize.ts';

export type TerminalGraphics = 'kitty' | 'iterm2' | 'sixel' | 'blocks' | 'none';

/** The protocol that a terminal supports, according to its environment variables. They do not reveal sixel, which must be requested. `none` if the output is not a terminal or colour is unwanted. */
export function detectTerminalGraphics(
  environment: Readonly<Record<string, string | undefined>>,
  isTerminal: boolean,
): TerminalGraphics {
  const { TERM = '', TERM_PROGRAM = '', NO_COLOR, KITTY_WINDOW_ID, TMUX, LC_TERMINAL, CI } = environment;
  if (!isTerminal || TERM === 'dumb' || CI) return 'none';
  const passesThrough = TMUX === undefined && !TERM.startsWith('screen') && !TERM.startsWith('tmux');
  if (passesThrough) {
    if (
      KITTY_WINDOW_ID !== undefined ||
      TERM === 'xterm-kitty' ||
      TERM === 'xterm-ghostty' ||
      TERM_PROGRAM === 'ghostty'
    )
      return 'kitty';
    if (TERM_PROGRAM === 'iTerm.app' || TERM_PROGRAM === 'WezTerm' || LC_TERMINAL === 'iTerm2') return 'iterm2';
    if (TERM === 'foot' || TERM.startsWith('foot-') || TERM === 'mlterm' || TERM.startsWith('yaft')) return 'sixel';
  }
  return NO_COLOR ? 'none' : 'blocks';
}

export interface TerminalImageOptions {
  readonly graphics: TerminalGraphics;
  /** Maximum width in character cells. Default 64. */
  readonly columns?: number;
  /** Maximum height in character cells. Default: no limit. */
  readonly rows?: number;
  /** Pixels of one cell, for sixel. Default 10 x 20. */
  readonly cell?: { readonly width: number; readonly height: number };
  /** Colour depth of half blocks: 24-bit, or the 256 colours of older terminals. Default 24. */
  readonly colourBits?: 8 | 24;
}

const esc = '\x1b';

/** Text that shows the picture, ending in a line break; empty for `none`. Transparency is composited on white. */
export async function terminalImage(image: Image, options: TerminalImageOptions): Promise<string> {
  const {
    graphics,
    columns = 64,
    rows = Number.POSITIVE_INFINITY,
    cell = { width: 10, height: 20 },
    colourBits = 24,
  } = options;
  const rgb = flatten(image);
  switch (graphics) {
    case 'none':
      return '';
    case 'kitty':
      return kitty(rgb, cellsWide(rgb, columns, rows));
    case 'iterm2':
      return iterm2(await encodePng(rgb), cellsWide(rgb, columns, rows));
    case 'sixel':
      return sixel(fit(rgb, Math.min(columns * cell.width, rgb.width), rows * cell.height));
    case 'blocks':
      return halfBlocks(fit(rgb, columns, rows * 2), colourBits);
  }
}

/** The largest size of the same aspect ratio within `width` x `height`; at least one pixel. */
function fit(image: Image<3>, width: number, height: number): Image<3> {
  const scale = Math.min(width / image.width, height / image.height);
  return resize(
    image,
    Math.max(1, Math.round(image.width * scale)),
    Math.max(1, Math.round(image.height * scale)),
    'box',
  );
}

/** Columns for a picture of this aspect ratio, with cells twice as high as wide. */
function cellsWide(image: Image<3>, columns: number, rows: number): number {
  return Math.max(1, Math.min(columns, Math.floor((2 * rows * image.width) / image.height)));
}

function base64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

/** https://sw.kovidgoyal.net/kitty/graphics-protocol/: transmit and show, 24-bit, deflated, in pieces of 4096 characters. */
export function kitty(image: Image<3>, columns: number): string {
  const data = base64(zlibSync(image.data));
  let out = '';
  for (let i = 0; i < data.length; i += 4096) {
    const keys = i === 0 ? `a=T,q=2,f=24,o=z,s=${image.width},v=${image.height},c=${columns},` : '';
    out += `${esc}_G${keys}m=${i + 4096 < data.length ? 1 : 0};${data.slice(i, i + 4096)}${esc}\\`;
  }
  return `${out}\n`;
}

/** https://iterm2.com/documentation-images.html: a whole file, here a PNG. */
export function iterm2(file: Uint8Array, columns: number): string {
  return `${esc}]1337;File=inline=1;size=${file.length};width=${columns};preserveAspectRatio=1:${base64(file)}\x07\n`;
}

/** Upper half blocks: the upper pixel in front, the lower behind. One line of text for two rows of pixels. */
export function halfBlocks(image: Image<3>, colourBits: 8 | 24 = 24): string {
  const { width, height, data } = image;
  const colour = (x: number, y: number): string => {
    const at = (y * width + x) * 3;
    const [r, g, b] = [data[at] as number, data[at + 1] as number, data[at + 2] as number];
    return colourBits === 24 ? `2;${r};${g};${b}` : `5;${cubeColour(r, g, b)}`;
  };
  const lines: string[] = [];
  for (let y = 0; y < height; y += 2) {
    let line = '';
    let last = '';
    for (let x = 0; x < width; x++) {
      const below = y + 1 < height ? `;48;${colour(x, y + 1)}` : '';
      const style = `38;${colour(x, y)}${below}`;
      line += style === last ? '▀' : `${esc}[${style}m▀`;
      last = style;
    }
    lines.push(`${line}${esc}[0m\n`);
  }
  return lines.join('');
}

/** Nearest of the 6 x 6 x 6 colours or the 24 greys of 256-colour terminals. */
function cubeColour(r: number, g: number, b: number): number {
  const levels = [0, 95, 135, 175, 215, 255];
  const nearest = (value: number): number =>
    value < 48 ? 0 : value < 115 ? 1 : Math.min(5, Math.floor((value - 35) / 40));
  const [i, j, k] = [nearest(r), nearest(g), nearest(b)];
  const grey = Math.max(0, Math.min(23, Math.round(((r + g + b) / 3 - 8) / 10)));
  const distance = (x: number, y: number, z: number): number => (x - r) ** 2 + (y - g) ** 2 + (z - b) ** 2;
  const level = 8 + 10 * grey;
  return distance(level, level, level) < distance(levels[i] ?? 0, levels[j] ?? 0, levels[k] ?? 0)
    ? 232 + grey
    : 16 + 36 * i + 6 * j + k;
}

const steps = [6, 7, 6] as const; // 252 colours, green the finest
const bayer = [0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5] as const;

/** Six rows of pixels a band, one pass a colour, runs counted. Colours are 252 fixed ones, with ordered dithering. */
export function sixel(image: Image<3>): string {
  const { width, height, data } = image;
  const indices = new Uint8Array(width * height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const threshold = ((bayer[(y % 4) * 4 + (x % 4)] as number) + 0.5) / 16;
      let index = 0;
      for (let c = 0; c < 3; c++)
        index =
          index * (steps[c] as number) +
          Math.floor(((data[3 * at + c] as number) / 255) * ((steps[c] as number) - 1) + threshold);
      indices[at] = index;
    }
  }
  const percent = (index: number, count: number): number => Math.round((100 * index) / (count - 1));
  let out = `${esc}P0;1q"1;1;${width};${height}`;
  for (const index of new Set(indices))
    out += `#${index};2;${percent(Math.floor(index / 42), 6)};${percent(Math.floor(index / 6) % 7, 7)};${percent(index % 6, 6)}`;
  for (let top = 0; top < height; top += 6) {
    const band = indices.subarray(top * width, Math.min(height, top + 6) * width);
    const passes: string[] = [];
    for (const index of new Set(band)) {
      const columns = new Uint8Array(width);
      for (let i = 0; i < band.length; i++)
        if (band[i] === index) columns[i % width] = (columns[i % width] as number) | (1 << Math.floor(i / width));
      passes.push(`#${index}${runs(columns)}`);
    }
    out += `${passes.join('$')}-`;
  }
  return `${out}${esc}\\\n`;
}

/** Sixel characters, with `!count` before repeated ones; blank ones at the end are left out. */
function runs(columns: Uint8Array): string {
  let out = '';
  for (let from = 0; from < columns.length; ) {
    let to = from + 1;
    while (to < columns.length && columns[to] === columns[from]) to++;
    const letter = String.fromCharCode(63 + (columns[from] as number));
    if (to < columns.length || columns[from] !== 0)
      out += to - from > 3 ? `!${to - from}${letter}` : letter.repeat(to - from);
    from = to;
  }
  return out;
}
