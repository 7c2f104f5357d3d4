/** The annotators, and how a file's is found. A new one is a file and a row here. */

import { notWanted } from '../../checkpoints/what-source-is.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import type { AnnotatorArchitecture, AnnotatorNetwork } from './annotator.ts';
import { depthAnything, depthAnythingV2 } from './depth-anything.ts';
import { dpt } from './dpt.ts';
import { hed } from './hed.ts';
import { lineart } from './lineart.ts';
import { lineartAnime } from './lineart-anime.ts';
import { mlsd } from './mlsd.ts';
import { openposeBody } from './openpose-body.ts';
import { uniformer } from './uniformer.ts';
import { pidinet } from './pidinet.ts';

export type { AnnotatorNetwork } from './annotator.ts';

export const annotators: readonly AnnotatorArchitecture[] = [
  hed,
  pidinet,
  lineart,
  lineartAnime,
  openposeBody,
  mlsd,
  dpt,
  depthAnything,
  depthAnythingV2,
  uniformer,
];

/** The annotator in a file, or undefined if it has none. */
export function detectAnnotator(source: WeightSource): AnnotatorNetwork | undefined {
  return annotators.find(({ matches }) => matches(source.entries, source.label))?.read(source);
}

/** Like `detectAnnotator`, but throws `model-unknown` if the file has none. */
export function readAnnotator(source: WeightSource): AnnotatorNetwork {
  const found = detectAnnotator(source);
  if (found) return found;
  const names = annotators.map(({ title }) => title).join(', ');
  throw notWanted(source, `a network of a preprocessor (${names})`);
}
