/** The networks for faces, and how a file's is found. A new one is a file and a row here. */

import { StableDiffusionError } from '../../errors.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { withoutWrappers } from '../upscalers/index.ts';
import { isCodeFormer, readCodeFormer } from './codeformer.ts';
import type { FaceDetectorNetwork, FaceNetwork, FaceRestorerNetwork } from './face-network.ts';
import { isRetinaFace, readRetinaFace } from './retinaface.ts';

export type { FaceDetectorNetwork, FaceRestorerNetwork } from './face-network.ts';

const networks = [
  { matches: isCodeFormer, read: readCodeFormer },
  { matches: isRetinaFace, read: readRetinaFace },
] as const;

/** The network for faces in a file, or undefined if it has none. */
export function detectFaceNetwork(source: WeightSource): FaceNetwork | undefined {
  const bare = withoutWrappers(source);
  return networks.find(({ matches }) => matches(bare.entries))?.read(bare);
}

function refuse(source: WeightSource, what: string): never {
  throw new StableDiffusionError(
    'model-unknown',
    `${source.label} is not ${what}. Its first tensors are ${[...source.entries.keys()].slice(0, 4).join(', ')}.`,
  );
}

/** Throws `model-unknown` if the file is no network that finds faces. */
export function readFaceDetector(source: WeightSource): FaceDetectorNetwork {
  const found = detectFaceNetwork(source);
  return found?.kind === 'detector' ? found : refuse(source, 'a network that finds faces (RetinaFace)');
}

/** Throws `model-unknown` if the file is no network that restores faces. */
export function readFaceRestorer(source: WeightSource): FaceRestorerNetwork {
  const found = detectFaceNetwork(source);
  return found?.kind === 'restorer' ? found : refuse(source, 'a network that restores faces (CodeFormer)');
}
