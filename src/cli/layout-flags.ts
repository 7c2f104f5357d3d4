/** Flags for models of layouts, whose pictures follow boxes. */

import { needing } from './needed-options.ts';
import { integer, list, UsageError } from './options.ts';
import { at } from './request-flag.ts';

const boxWords = { group: 'isGroup', occluded: 'isOccluded', depiction: 'isDepiction', inside: 'isInside' } as const;

/** `12,0.1,0.2,0.5,0.5,occluded`; the schema checks the numbers. */
function readBox(given: string): object {
  const [number = '', ...rest] = given.split(',').map((part) => part.trim());
  const place = rest.slice(0, 4).map((part) => (part === '' ? Number.NaN : Number(part)));
  const words = rest.slice(4);
  const unknown = words.find((word) => !Object.hasOwn(boxWords, word));
  if (!/^\d{1,10}$/.test(number) || place.length < 4 || !place.every(Number.isFinite) || unknown !== undefined)
    throw new UsageError(
      `must be CLASS,X,Y,W,H with any of the words ${Object.keys(boxWords).join(', ')}, such as 12,0.1,0.2,0.5,0.5; got ${JSON.stringify(given)}.`,
    );
  return {
    class: Number(number),
    box: place,
    ...Object.fromEntries(words.map((word) => [boxWords[word as keyof typeof boxWords], true])),
  };
}

export const layoutFlags = {
  boxes: at(
    'boxes',
    list(
      ['--box'],
      'CLASS,X,Y,W,H[,WORD…]',
      'models of layouts: class and place of an object, as shares of the picture; the words are group, occluded, depiction, inside; repeat it for each object',
      readBox,
    ),
  ),
  boxClasses: at(
    'boxClasses',
    needing(
      integer(['--box-classes'], 'models of layouts: number of classes, needed with the words of --box', { min: 1 }),
      '--box',
    ),
  ),
};
