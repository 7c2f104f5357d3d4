/** The font of legends in Node: Roboto, as A1111's, drawn as outlines, so that no font of the machine is needed. */

import { createRequire } from 'node:module';
import type { Font, Glyph } from 'opentype.js';
import { readFileOf } from '../files/open-node.ts';
import type { DrawnLine, LegendFont } from './grid-legend.ts';
import { createImage, type Image } from './image.ts';

/** Files of the font by their characters; the first that has a character draws it. */
const subsets = ['latin', 'latin-ext', 'cyrillic', 'greek', 'vietnamese'] as const;

async function openFonts(): Promise<readonly Font[]> {
  const require = createRequire(import.meta.url);
  const { default: opentype } = await import('opentype.js');
  return Promise.all(
    subsets.map(async (name) => {
      const bytes = await readFileOf(
        'font',
        require.resolve(`@fontsource/roboto/files/roboto-${name}-400-normal.woff`),
      );
      return opentype.parse(bytes.slice().buffer as ArrayBuffer);
    }),
  );
}

interface Place {
  readonly glyph: Glyph;
  /** Pixels to the next glyph. */
  readonly advance: number;
}

/** The glyphs of a text, one for each character. Characters of no file become a question mark. */
function glyphsOf(text: string, size: number, fonts: readonly Font[]): Place[] {
  return Array.from(text, (character) => {
    const found = fonts.find((font) => font.charToGlyphIndex(character) > 0);
    const font = found ?? (fonts[0] as Font);
    const glyph = font.charToGlyph(found ? character : '?');
    return { glyph, advance: ((glyph.advanceWidth ?? 0) * size) / font.unitsPerEm };
  });
}

const widthOf = (glyphs: readonly Place[]): number => glyphs.reduce((sum, { advance }) => sum + advance, 0);

function outlineOf({ text, size, x, y, color, isStruck, width }: DrawnLine, fonts: readonly Font[]): string {
  const glyphs = glyphsOf(text, size, fonts);
  let at = x - widthOf(glyphs) / 2;
  // Half the height of capitals below the middle.
  const base = y + 0.355 * size;
  const outlines = glyphs.map(({ glyph, advance }) => {
    const path = glyph.getPath(at, base, size).toPathData(2);
    at += advance;
    return `<path d="${path}" fill="${color}"/>`;
  });
  const line = `<path d="M${x - width / 2} ${y}H${x + width / 2}" stroke="${color}" stroke-width="${Math.max(1, size / 10)}"/>`;
  return outlines.join('') + (isStruck ? line : '');
}

let opened: Promise<readonly Font[]> | undefined;

/** The font, read once. */
export async function legendFont(): Promise<LegendFont> {
  opened ??= openFonts();
  const fonts = await opened;
  return {
    measure: (text, size) => widthOf(glyphsOf(text, size, fonts)),
    async draw(image: Image<3>, lines) {
      const { width, height, data } = image;
      const shapes = lines.map((line) => outlineOf(line, fonts)).join('');
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${shapes}</svg>`;
      const { default: sharp } = await import('sharp');
      const raw = await sharp(data, { raw: { width, height, channels: 3 }, limitInputPixels: false })
        .composite([{ input: Buffer.from(svg), limitInputPixels: false }])
        .removeAlpha()
        .raw()
        .toBuffer();
      return createImage(width, height, 3, new Uint8Array(raw));
    },
  };
}
