/** Boxes as token ids and back, against taming-transformers' builders. */

import {
  type Box,
  type BoxTokens,
  centreCrop,
  type LayoutObject,
  layoutTokens,
  pointToken,
  readLayout,
  tokenObject,
} from '../../../src/conditioning/box-tokens.ts';
import { lineageCase, type Loose } from '../lineage-case.ts';
import { type Comparison, compareExactly, type Reader } from '../reader.ts';

const objectOf = (given: Loose): LayoutObject => ({
  class: given.category_no,
  box: given.bbox,
  isGroup: given.is_group_of,
  isOccluded: given.is_occluded,
  isDepiction: given.is_depiction,
  isInside: given.is_inside,
});

const annotationOf = ({ class: category, isGroup, isOccluded, isDepiction, isInside }: Omit<LayoutObject, 'box'>) => ({
  category_no: category,
  is_group_of: isGroup,
  is_occluded: isOccluded,
  is_depiction: isDepiction,
  is_inside: isInside,
});

/** The original cuts to the most objects, and then shuffles. */
const tokensOf = (one: Loose, given: BoxTokens): number[] =>
  layoutTokens(
    one.order.map((i: number) => objectOf(one.annotations[i])),
    given,
    { crop: (one.crop ?? undefined) as Box | undefined, isFlipped: one.horizontal_flip },
  );

function* builders(cases: readonly Loose[]): Iterable<Comparison> {
  for (const [i, one] of cases.entries()) {
    const given: BoxTokens = {
      objectClasses: one.no_object_classes,
      maxObjects: one.no_max_objects,
      tokens: one.no_tokens,
      encodesCrop: one.encode_crop,
      usesGroups: one.use_group_parameter,
      usesModifiers: one.use_additional_parameters,
      places: one.builder === 'bbox' ? 'corners' : 'centre',
    };
    yield compareExactly(`cases.${i}.tokens`, tokensOf(one, given), one.tokens);
    if (one.inverse === undefined) continue;
    const read = readLayout(one.tokens, given);
    yield compareExactly(
      `cases.${i}.inverse`,
      read.objects.map(({ token, place }) => [token, place]),
      one.inverse,
    );
    yield compareExactly(`cases.${i}.inverse_crop`, read.crop ?? null, one.inverse_crop);
    yield compareExactly(
      `cases.${i}.inverse_annotations`,
      read.objects.map(({ token }) => annotationOf(tokenObject(token, given))),
      one.inverse_annotations,
    );
  }
}

/** The published sizes: 8192 tokens, 30 objects, 92 ids. The number of classes is what the tokens are of. */
function* published(rows: readonly Loose[]): Iterable<Comparison> {
  for (const [i, row] of rows.entries()) {
    const bits = (one: Loose) =>
      Number(one.is_group_of) + 2 * Number(one.is_occluded) + 4 * Number(one.is_depiction) + 8 * Number(one.is_inside);
    const shown = row.order.map((at: number) => row.annotations[at]);
    const place = shown.findIndex((one: Loose) => bits(one) > 0);
    const first = shown[place];
    const objectClasses = first ? (row.tokens[3 * place] - first.category_no) / bits(first) : 1000;
    const given: BoxTokens = {
      objectClasses,
      maxObjects: (row.tokens.length - 2) / 3,
      tokens: 8192,
      encodesCrop: true,
      usesGroups: true,
      usesModifiers: true,
      places: 'corners',
    };
    yield compareExactly(`openimages_8192.${i}`, tokensOf(row, given), row.tokens);
  }
}

export const reader: Reader = {
  set: 'lineage',
  reads: (row) => /ObjectsBoundingBoxConditionalBuilder/.test(String(row['reference'])),
  *compare(raw) {
    const recorded = lineageCase(raw);
    const {
      cases,
      tokenize_coordinates_90: points,
      openimages_8192: rows,
      bbox_of_center_crop: crops,
    } = recorded.json('boxes.json');
    yield* builders(cases);
    for (const [x, y, token] of points)
      yield compareExactly(`tokenize_coordinates.${x},${y}`, pointToken(x, y, { tokens: 90 * 90 }), token);
    yield* published(rows);
    for (const [width, height, crop] of crops)
      yield compareExactly(`bbox_of_center_crop.${width}x${height}`, centreCrop(width, height), crop);
  },
};
