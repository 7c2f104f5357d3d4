/**
 * Boxes of objects as token ids, the condition of layout-to-image models: taming-transformers' `ObjectsBoundingBoxConditionalBuilder` and
 * `ObjectsCenterPointsConditionalBuilder`. An object is its class, with modifiers, and the tokens of its corners or of its centre.
 */

import { roundHalfToEven } from '../diffusion/timesteps.ts';
import { StableDiffusionError } from '../errors.ts';

/** Left, top, width, height, as shares of the picture. */
export type Box = readonly [x: number, y: number, width: number, height: number];

export interface LayoutObject {
  /** Number of its class, from 0. */
  readonly class: number;
  readonly box: Box;
  readonly isGroup?: boolean | undefined;
  readonly isOccluded?: boolean | undefined;
  readonly isDepiction?: boolean | undefined;
  readonly isInside?: boolean | undefined;
}

export interface BoxTokens {
  readonly objectClasses: number;
  /** Most objects of a picture; places of others hold the token of none. */
  readonly maxObjects: number;
  /** Size of the vocabulary. The last token is that of none. */
  readonly tokens: number;
  /** The crop of the picture is part of the condition, and boxes are relative to the whole picture. */
  readonly encodesCrop: boolean;
  readonly usesGroups: boolean;
  /** Whether objects are occluded, depicted or inside of something. */
  readonly usesModifiers: boolean;
  readonly places: 'corners' | 'centre';
}

export const wholePicture: Box = [0, 0, 1, 1];

/** Positions along a side of the picture. */
const sections = ({ tokens }: Pick<BoxTokens, 'tokens'>): number => Math.floor(Math.sqrt(tokens));

/** The token of a point. */
export function pointToken(x: number, y: number, given: Pick<BoxTokens, 'tokens'>): number {
  const count = sections(given);
  return roundHalfToEven(y * (count - 1)) * count + roundHalfToEven(x * (count - 1));
}

/** The point of a token. */
export function tokenPoint(token: number, given: Pick<BoxTokens, 'tokens'>): readonly [number, number] {
  const count = sections(given);
  return [(token % count) / (count - 1), Math.floor(token / count) / (count - 1)];
}

/** Tokens of the upper left and the lower right corner. */
export const boxTokens = ([x, y, width, height]: Box, given: Pick<BoxTokens, 'tokens'>): [number, number] => [
  pointToken(x, y, given),
  pointToken(x + width, y + height, given),
];

function tokensBox(first: number, second: number, given: BoxTokens): Box {
  const [x0, y0] = tokenPoint(first, given);
  const [x1, y1] = tokenPoint(second, given);
  return [x0, y0, x1 - x0, y1 - y0];
}

const overlaps = (a: Box, b: Box): boolean => {
  const along = (at: 0 | 1): number =>
    Math.min(a[at] + a[(at + 2) as 2 | 3], b[at] + b[(at + 2) as 2 | 3]) - Math.max(a[at], b[at]);
  return Math.max(0, along(0)) * Math.max(0, along(1)) > 0;
};

const flipped = ([x, y, width, height]: Box): Box => [1 - (x + width), y, width, height];

/** A box relative to a crop of the picture. */
function rescaled(box: Box, crop: Box, isFlipped: boolean): Box {
  const start = (at: 0 | 1): number => Math.max(Math.min((box[at] - crop[at]) / crop[(at + 2) as 2 | 3], 1), 0);
  const [x, y] = [start(0), start(1)];
  const moved: Box = [x, y, Math.min(box[2] / crop[2], 1 - x), Math.min(box[3] / crop[3], 1 - y)];
  return isFlipped ? flipped(moved) : moved;
}

function objectToken(object: LayoutObject, { objectClasses, usesGroups, usesModifiers }: BoxTokens): number {
  const flags = [
    usesGroups && object.isGroup,
    usesModifiers && object.isOccluded,
    usesModifiers && object.isDepiction,
    usesModifiers && object.isInside,
  ];
  return object.class + objectClasses * flags.reduce<number>((sum, isSet, bit) => sum + (isSet ? 2 ** bit : 0), 0);
}

/** The class and the modifiers of an object's token. */
export function tokenObject(
  token: number,
  { objectClasses, usesGroups, usesModifiers }: BoxTokens,
): Omit<LayoutObject, 'box'> {
  const bits = Math.floor(token / objectClasses);
  return {
    class: token % objectClasses,
    isGroup: usesGroups && (bits & 1) > 0,
    isOccluded: usesModifiers && (bits & 2) > 0,
    isDepiction: usesModifiers && (bits & 4) > 0,
    isInside: usesModifiers && (bits & 8) > 0,
  };
}

export interface LayoutOptions {
  /** Default: the whole picture. Objects outside are left out. */
  readonly crop?: Box | undefined;
  readonly isFlipped?: boolean | undefined;
}

function checkToken(token: number, { tokens, objectClasses }: BoxTokens): number {
  if (Number.isInteger(token) && token >= 0 && token < tokens) return token;
  throw new StableDiffusionError(
    'invalid-argument',
    `An object's token is ${token}, and the model has tokens from 0 to ${tokens - 1}. Check the classes of the boxes (there are ${objectClasses}) and that they lie inside the picture.`,
  );
}

/** The tokens of a picture's objects, in their order. Those beyond `maxObjects` are left out. Throws `invalid-argument`. */
export function layoutTokens(
  objects: readonly LayoutObject[],
  given: BoxTokens,
  { crop = wholePicture, isFlipped = false }: LayoutOptions = {},
): number[] {
  const { maxObjects, places, tokens, encodesCrop } = given;
  const kept = objects.slice(0, maxObjects).filter(({ box }) => overlaps(box, crop));
  const described = kept.flatMap((object) => {
    const box = rescaled(object.box, encodesCrop ? wholePicture : crop, isFlipped);
    const [x, y, width, height] = box;
    const place = places === 'corners' ? boxTokens(box, given) : [pointToken(x + width / 2, y + height / 2, given)];
    return [objectToken(object, given), ...place];
  });
  const none = new Array<number>(maxObjects * (places === 'corners' ? 3 : 2) - described.length).fill(tokens - 1);
  const last = encodesCrop ? boxTokens(isFlipped ? flipped(crop) : crop, given) : [];
  return [...described, ...none, ...last].map((token) => checkToken(token, given));
}

export interface ReadLayout {
  /** Each object's token, and its box or its centre. */
  readonly objects: readonly { readonly token: number; readonly place: Box | readonly [number, number] }[];
  readonly crop: Box | undefined;
}

/** The inverse of `layoutTokens`, as far as the tokens go. */
export function readLayout(tokens: readonly number[], given: BoxTokens): ReadLayout {
  const size = given.places === 'corners' ? 3 : 2;
  const [first = 0, second = 0] = tokens.slice(-2);
  const objects = Array.from({ length: given.maxObjects }, (_, i) => tokens.slice(i * size, (i + 1) * size))
    .filter(([token]) => token !== given.tokens - 1)
    .map(([token = 0, one = 0, two = 0]) => ({
      token,
      place: given.places === 'corners' ? tokensBox(one, two, given) : tokenPoint(one, given),
    }));
  return { objects, crop: given.encodesCrop ? tokensBox(first, second, given) : undefined };
}

/** The largest square in the middle of a picture. */
export function centreCrop(width: number, height: number): Box {
  if (width > height) return [0.5 - height / width / 2, 0, height / width, 1];
  return [0, 0.5 - width / height / 2, 1, width / height];
}
