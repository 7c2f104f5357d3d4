/**
 * Pixels by the colours of a palette as Pillow's `Image.quantize(palette=…)` (libImaging/Palette.c, Convert.c): exact colours, else the colour
 * nearest to the corner of the pixel's cell of 4 x 4 x 4; with or without Floyd and Steinberg's dithering.
 */

/** Index of the palette's colour for a pixel. */
type PaletteMatch = (red: number, green: number, blue: number) => number;

function paletteMatch(palette: Uint8Array): PaletteMatch {
  const exact = new Map<number, number>();
  for (let i = palette.length / 3 - 1; i >= 0; i--)
    exact.set(
      ((palette[i * 3] as number) << 16) | ((palette[i * 3 + 1] as number) << 8) | (palette[i * 3 + 2] as number),
      i,
    );
  const cells = new Map<number, number>();
  return (red, green, blue) => {
    const same = exact.get((red << 16) | (green << 8) | blue);
    if (same !== undefined) return same;
    const [r, g, b] = [red & ~3, green & ~3, blue & ~3];
    const key = (r << 16) | (g << 8) | b;
    const known = cells.get(key);
    if (known !== undefined) return known;
    let [best, distance] = [0, Number.POSITIVE_INFINITY];
    for (let i = 0; i < palette.length; i += 3) {
      const own =
        (r - (palette[i] as number)) ** 2 +
        (g - (palette[i + 1] as number)) ** 2 +
        (b - (palette[i + 2] as number)) ** 2;
      if (own < distance) [best, distance] = [i / 3, own];
    }
    cells.set(key, best);
    return best;
  };
}

const clip = (value: number): number => Math.min(255, Math.max(0, value));

/** Pixels [n, 3] in the palette's colours. */
export function matchedPixels(pixels: Uint8Array, palette: Uint8Array): Uint8Array {
  const match = paletteMatch(palette);
  const out = new Uint8Array(pixels.length);
  for (let i = 0; i < pixels.length; i += 3) {
    const at = match(pixels[i] as number, pixels[i + 1] as number, pixels[i + 2] as number) * 3;
    out.set(palette.subarray(at, at + 3), i);
  }
  return out;
}

/** The same with the error of each pixel handed on to its neighbours. */
export function ditheredPixels(pixels: Uint8Array, width: number, palette: Uint8Array): Uint8Array {
  const match = paletteMatch(palette);
  const out = new Uint8Array(pixels.length);
  // Sixteenths of errors for the row below, one pixel to the left of their place.
  const below = new Int32Array((width + 1) * 3);
  for (let row = 0; row < pixels.length; row += width * 3) {
    const ahead = [0, 0, 0];
    const [first, second, last] = [
      [0, 0, 0],
      [0, 0, 0],
      [0, 0, 0],
    ] as [number[], number[], number[]];
    for (let x = 0; x < width; x++) {
      const i = row + x * 3;
      const seen = [0, 1, 2].map((c) =>
        clip((pixels[i + c] as number) + Math.trunc(((ahead[c] as number) + (below[(x + 1) * 3 + c] as number)) / 16)),
      ) as [number, number, number];
      const at = match(...seen) * 3;
      out.set(palette.subarray(at, at + 3), i);
      for (let c = 0; c < 3; c++) {
        const error = (seen[c] as number) - (palette[at + c] as number);
        below[x * 3 + c] = 3 * error + (first[c] as number);
        first[c] = 5 * error + (second[c] as number);
        second[c] = error;
        last[c] = error;
        ahead[c] = 7 * error;
      }
    }
    // The original ends each row with blue's.
    below.set([first[2] as number, second[2] as number, last[2] as number], width * 3);
  }
  return out;
}
