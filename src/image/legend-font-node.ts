/** The font of legends in Node: the machine's sans-serif, drawn by sharp (librsvg, Pango). */

import type { DrawnLine, LegendFont } from './grid-legend.ts';
import { createImage } from './image.ts';

/** Widths of characters in shares of the size, as wide as in the widest of the common fonts (DejaVu Sans). */
function widthOf(character: string): number {
  if ((character.codePointAt(0) ?? 0) >= 0x1100) return 1;
  if (/[ijlI.,:;'|!()[\]\s]/.test(character)) return 0.36;
  if (/[mwMW@%]/.test(character)) return 0.95;
  return /[A-Z0-9+=<>~]/.test(character) ? 0.68 : 0.6;
}

const measure = (text: string, size: number): number =>
  Array.from(text, widthOf).reduce((sum, width) => sum + width * size, 0);

const escaped = (text: string): string =>
  text.replaceAll(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`).replaceAll(/\p{Cc}/gu, ' ');

function lineShape({ text, size, x, y, color, isStruck, width }: DrawnLine): string {
  // The middle of capitals, not of the line.
  const label = `<text x="${x}" y="${y + 0.36 * size}" font-size="${size}" fill="${color}">${escaped(text)}</text>`;
  const half = width / 2;
  const line = `<path d="M${x - half} ${y}H${x + half}" stroke="${color}" stroke-width="${Math.max(1, size / 10)}"/>`;
  return isStruck ? label + line : label;
}

/** Draws with a font of the machine. */
export const legendFont: LegendFont = {
  measure,
  async draw({ width, height, data }, lines) {
    const shapes = lines.map(lineShape).join('');
    const family = "Roboto, Arial, 'DejaVu Sans', sans-serif";
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="${family}" text-anchor="middle">${shapes}</svg>`;
    const { default: sharp } = await import('sharp');
    const raw = await sharp(data, { raw: { width, height, channels: 3 }, limitInputPixels: false })
      .composite([{ input: Buffer.from(svg), limitInputPixels: false }])
      .removeAlpha()
      .raw()
      .toBuffer();
    return createImage(width, height, 3, new Uint8Array(raw));
  },
};
