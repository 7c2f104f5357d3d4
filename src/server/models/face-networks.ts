/** The networks for faces in the server's folders. */

import * as z from 'zod';
import { type FaceNetwork, type FaceRestorerTitle, faceRestorerTitles } from '../../models/faces/index.ts';

/** The kind of a network for faces among those of the preprocessors. */
export function faceKind(network: Pick<FaceNetwork, 'kind' | 'title'>): string {
  return network.kind === 'restorer' ? `face_restorer ${network.title}` : `face_${network.kind}`;
}

export const restorerKind = (title: FaceRestorerTitle): string => faceKind({ kind: 'restorer', title });
export const detectorKind = 'face_detector';
export const parserKind = 'face_parser';

/** A1111's own choice. */
export const defaultFaceRestorer: FaceRestorerTitle = 'CodeFormer';

/** How a job restores faces: the weight is CodeFormer's fidelity. */
export const restoreFacesSchema = z.object({
  weight: z.number().min(0).max(1),
  /** Default CodeFormer. */
  model: z.enum(faceRestorerTitles).optional(),
});

/** Names under which the networks are published. */
const files: Readonly<Record<FaceRestorerTitle, string>> = {
  CodeFormer: 'codeformer.pth',
  GFPGAN: 'GFPGANv1.4.pth',
  RestoreFormer: 'RestoreFormer.pth',
};

/** The preprocessors' networks that a server has, by their kinds. */
interface Annotators {
  annotatorPath(kind: string): string | undefined;
}

/** The face restorers that a server has. None works without a detector. */
export const faceRestorersOf = (controls: Annotators): readonly FaceRestorerTitle[] =>
  controls.annotatorPath(detectorKind) === undefined
    ? []
    : faceRestorerTitles.filter((title) => controls.annotatorPath(restorerKind(title)) !== undefined);

/** What an operator must do where a restorer is not among them. */
export const facesNeed = (title: FaceRestorerTitle): string =>
  `needs ${files[title]} and detection_Resnet50_Final.pth in a folder of --annotators, and the server does not have both`;
