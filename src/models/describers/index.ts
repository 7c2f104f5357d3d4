/** The networks that put pictures into words, and how a file's is found. A new one is a file and a row here. */

import { notWanted } from '../../checkpoints/what-source-is.ts';
import type { Entries } from '../../checkpoints/infer/shapes.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { isBlip, readBlip } from './blip.ts';
import { isDeepDanbooru, readDeepDanbooru } from './deepdanbooru.ts';
import type { DescriberNetwork } from './describer.ts';

export type { CaptionNetwork, DescriberNetwork, TaggerNetwork } from './describer.ts';

const networks: readonly {
  readonly matches: (entries: Entries) => boolean;
  readonly read: (source: WeightSource) => DescriberNetwork;
}[] = [
  { matches: isBlip, read: readBlip },
  { matches: isDeepDanbooru, read: readDeepDanbooru },
];

/** The network in a file that describes pictures, or undefined if it has none. */
export function detectDescriber(source: WeightSource): DescriberNetwork | undefined {
  return networks.find(({ matches }) => matches(source.entries))?.read(source);
}

/** Like `detectDescriber`, but throws `model-unknown` if the file has none. */
export function readDescriber(source: WeightSource): DescriberNetwork {
  const found = detectDescriber(source);
  if (found) return found;
  throw notWanted(source, 'a network that describes pictures (BLIP for captions, DeepDanbooru)');
}
