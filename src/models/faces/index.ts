/** The networks for faces, and how a file's is found. A new one is a file and a row here. */

import { notWanted } from '../../checkpoints/what-source-is.ts';
import type { Entries } from '../../checkpoints/infer/shapes.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { withoutWrappers } from '../upscalers/index.ts';
import { isCodeFormer, readCodeFormer } from './codeformer.ts';
import type { FaceDetectorNetwork, FaceNetwork, FaceParserNetwork, FaceRestorerNetwork } from './face-network.ts';
import { isGfpgan, readGfpgan } from './gfpgan.ts';
import { isParseNet, readParseNet } from './parsenet.ts';
import { isRestoreFormer, readRestoreFormer } from './restoreformer.ts';
import { isRetinaFace, readRetinaFace } from './retinaface.ts';

export type { FaceDetectorNetwork, FaceNetwork, FaceParserNetwork, FaceRestorerNetwork } from './face-network.ts';

/** The networks that restore faces, by their titles. */
export const faceRestorerTitles = ['CodeFormer', 'GFPGAN', 'RestoreFormer'] as const;
export type FaceRestorerTitle = (typeof faceRestorerTitles)[number];

const networks: readonly {
  readonly matches: (entries: Entries) => boolean;
  readonly read: (source: WeightSource) => FaceNetwork;
}[] = [
  { matches: isCodeFormer, read: readCodeFormer },
  { matches: isGfpgan, read: readGfpgan },
  { matches: isRestoreFormer, read: readRestoreFormer },
  { matches: isParseNet, read: readParseNet },
  { matches: isRetinaFace, read: readRetinaFace },
];

/** The network for faces in a file, or undefined if it has none. */
export function detectFaceNetwork(source: WeightSource): FaceNetwork | undefined {
  const bare = withoutWrappers(source);
  return networks.find(({ matches }) => matches(bare.entries))?.read(bare);
}

function refuse(source: WeightSource, what: string): never {
  throw notWanted(source, what);
}

/** Throws `model-unknown` if the file is no network that finds faces. */
export function readFaceDetector(source: WeightSource): FaceDetectorNetwork {
  const found = detectFaceNetwork(source);
  return found?.kind === 'detector' ? found : refuse(source, 'a network that finds faces (RetinaFace)');
}

/** Throws `model-unknown` if the file is no network that restores faces. */
export function readFaceRestorer(source: WeightSource): FaceRestorerNetwork {
  const found = detectFaceNetwork(source);
  return found?.kind === 'restorer'
    ? found
    : refuse(source, `a network that restores faces (${faceRestorerTitles.join(', ')})`);
}

/** Throws `model-unknown` if the file is no network that says which part of a face each pixel is. */
export function readFaceParser(source: WeightSource): FaceParserNetwork {
  const found = detectFaceNetwork(source);
  return found?.kind === 'parser' ? found : refuse(source, 'a network that parses faces (ParseNet)');
}
