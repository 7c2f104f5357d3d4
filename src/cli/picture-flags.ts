/** Flags for outpainting and for the colours of image to image. */

import { bounds } from '../generation/bounds.ts';
import { outpaintFills, outpaintMethods } from '../generation/picture-fields.ts';
import { choice, flag, integer, number, type Option, UsageError } from './options.ts';
import { excluding, needing } from './needed-options.ts';
import { at, within } from './request-flag.ts';

const sides = ['left', 'right', 'up', 'down'] as const;

/** `left=64,right=64`, or one number for all sides. */
function readSides(given: string): Readonly<Record<string, number>> {
  const wrong = new UsageError(
    `must be pixels for all sides, such as 128, or for some, such as left=64,up=32; got ${JSON.stringify(given)}.`,
  );
  const pixels = (text: string): number => {
    const value = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value <= bounds.outpaint.max)) throw wrong;
    return value;
  };
  const parts = given.split(',').map((part) => part.trim());
  if (parts.length === 1 && !given.includes('=')) return Object.fromEntries(sides.map((side) => [side, pixels(given)]));
  const entries = parts.map((part) => part.split('=').map((piece) => piece.trim()));
  const names = entries.map(([name]) => name ?? '');
  if (new Set(names).size !== names.length) throw wrong;
  return Object.fromEntries(
    entries.map(([name = '', value = '']) => {
      if (!(sides as readonly string[]).includes(name)) throw wrong;
      return [name, pixels(value)];
    }),
  );
}

const sidesOption: Option<Readonly<Record<string, number>> | undefined> = {
  flags: ['--outpaint'],
  value: 'SIDES',
  description:
    'extend the picture: pixels for all sides, such as 128, or for some, such as left=64,up=32; opposite sides fill up to a multiple of 64',
  parse: readSides,
};

export const outpaintFlags = {
  outpaint: at('outpaint', sidesOption),
  outpaintMethod: at(
    'outpaint.method',
    needing(
      choice(
        ['--outpaint-method'],
        outpaintMethods,
        "A1111's script to follow: mk2 adds a side at a time over noise in the picture's style; poor-mans paints tiles (default: mk2)",
      ),
      '--outpaint',
    ),
  ),
  outpaintBlur: at(
    'outpaint.maskBlur',
    needing(
      integer(
        ['--outpaint-blur'],
        'pixels by which the edge between old and new is softened (default: 8, or 4 for poor-mans)',
        bounds.outpaintBlur,
      ),
      '--outpaint',
    ),
  ),
  outpaintFill: at(
    'outpaint.fill',
    needing(
      choice(['--outpaint-fill'], outpaintFills, 'poor-mans: what the new part holds before sampling (default: fill)'),
      '--outpaint-method poor-mans',
    ),
  ),
  outpaintFallOff: at(
    'outpaint.fallOff',
    excluding(
      needing(
        number(
          ['--outpaint-fall-off'],
          "mk2: exponent of the picture's spectrum in the noise; lower shows more detail (default: 1)",
          bounds.fallOff,
        ),
        '--outpaint',
      ),
      '--outpaint-method poor-mans',
    ),
  ),
  outpaintColor: at(
    'outpaint.colorVariation',
    excluding(
      needing(
        number(['--outpaint-color'], 'mk2: share of colour in the noise, 0 to 1 (default: 0.05)', within(bounds.share)),
        '--outpaint',
      ),
      '--outpaint-method poor-mans',
    ),
  ),
};

export const colorFlags = {
  colorCorrection: at(
    'colorCorrection',
    flag(['--color-correction'], 'give the result the colours of the initial image, as A1111 does'),
  ),
};
