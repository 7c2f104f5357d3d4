/** CIE L*a*b* as OpenCV's 8-bit `cv2.cvtColor` has it, in its integers (modules/imgproc/src/color_lab.cpp); one a or b in 10,000 is a level off. */

import { createImage, type Image } from '../image.ts';

const gamma = Uint16Array.from({ length: 256 }, (_, level) => {
  const x = level / 255;
  return Math.round(255 * 8 * (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
});

const cubeRoots = Uint16Array.from({ length: 3072 }, (_, i) => {
  const x = i / (255 * 8);
  return Math.round(2 ** 15 * (x < 0.008856 ? x * 7.787 + 16 / 116 : Math.cbrt(x)));
});

const clampByte = (value: number): number => Math.max(0, Math.min(255, value));

const lightnessShift = -Math.trunc((16 * 255 * 2 ** 15 + 50) / 100);
const lightnessOf = (root: number): number => (296 * root + lightnessShift + 2 ** 14) >> 15;

/** The cube root of a share of the white point; a row of sRGB to XYZ, in 12 bits. */
const rootOf = (r: number, g: number, b: number, row: readonly [number, number, number]): number =>
  cubeRoots[(r * row[0] + g * row[1] + b * row[2] + 2 ** 11) >> 12] as number;

const [xRow, yRow, zRow] = [
  [1777, 1541, 778],
  [871, 2929, 296],
  [73, 448, 3575],
] as const;

/** CIE lightness of a colour, 0 to 255. */
export function lightness(red: number, green: number, blue: number): number {
  return lightnessOf(rootOf(gamma[red] as number, gamma[green] as number, gamma[blue] as number, yRow));
}

/** `cv2.cvtColor(…, COLOR_RGB2LAB)`: lightness times 2.55, and a and b with 128 added. */
export function rgbToLab({ width, height, data }: Image<3>): Image<3> {
  const out = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i += 3) {
    const [r, g, b] = [
      gamma[data[i] as number] as number,
      gamma[data[i + 1] as number] as number,
      gamma[data[i + 2] as number] as number,
    ];
    const [x, y, z] = [rootOf(r, g, b, xRow), rootOf(r, g, b, yRow), rootOf(r, g, b, zRow)];
    out[i] = clampByte(lightnessOf(y));
    out[i + 1] = clampByte((500 * (x - y) + 128 * 2 ** 15 + 2 ** 14) >> 15);
    out[i + 2] = clampByte((200 * (y - z) + 128 * 2 ** 15 + 2 ** 14) >> 15);
  }
  return createImage(width, height, 3, out);
}

const base = 2 ** 14;

/** Of each lightness: the luminance, and its cube root. */
const luminances = Array.from({ length: 256 }, (_, i) => {
  const level = (i * 100) / 255;
  const isDark = level <= 8;
  const y = isDark ? level / 903.3 : ((level + 16) / 116) ** 3;
  const root = isDark ? 7.787 * y + 16 / 116 : (level + 16) / 116;
  return [Math.round(y * base), Math.round(root * base)] as const;
});

/** The cube of a root, in 14 bits. */
function cubeOf(root: number): number {
  if (root <= 3390) return Math.trunc((root * 108) / 841) - Math.trunc((Math.trunc((base * 16) / 116) * 108) / 841);
  return Math.trunc((Math.trunc((root * root) / base) * root) / base);
}

/** Levels of sRGB for 4096 levels of light. */
const inverseGamma = Uint8Array.from({ length: 4096 }, (_, i) => {
  const x = i / 4096;
  return Math.round(255 * (x <= 0.0031308 ? x * 12.92 : 1.055 * x ** (1 / 2.4) - 0.055));
});

/** XYZ of the white point to sRGB, in 12 bits. */
const toRgbRows = [
  [12615, -6296, -2223],
  [-3773, 7684, 185],
  [217, -836, 4715],
] as const;

/** `cv2.cvtColor(…, COLOR_LAB2RGB)`. */
export function labToRgb({ width, height, data }: Image<3>): Image<3> {
  const out = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i += 3) {
    const [y, root] = luminances[data[i] as number] as readonly [number, number];
    const a = ((5 * (data[i + 1] as number) * 53687 + 2 ** 7) >> 13) - 4194;
    const b = (((data[i + 2] as number) * 41943 + 2 ** 4) >> 9) - 10485 + 1;
    const [x, z] = [cubeOf(root + a), cubeOf(root - b)];
    for (const [c, row] of toRgbRows.entries()) {
      const level = (row[0] * x + row[1] * y + row[2] * z + 2 ** 13) >> 14;
      out[i + c] = inverseGamma[Math.max(0, Math.min(4095, level))] as number;
    }
  }
  return createImage(width, height, 3, out);
}
