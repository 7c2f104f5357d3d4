/** The networks that restore faces in the server's folders. */

/** Kinds of the networks for faces. */
export const faceKinds = { detector: 'face_detector', restorer: 'face_restorer' } as const;

/** A1111's name of the only face restorer here. */
export const faceRestorerName = 'CodeFormer';

/** The preprocessors' networks that a server has, by their kinds. */
interface Annotators {
  annotatorPath(kind: string): string | undefined;
}

/** Whether both networks are there. */
export const canRestoreFaces = (controls: Annotators): boolean =>
  Object.values(faceKinds).every((kind) => controls.annotatorPath(kind) !== undefined);

/** What an operator must do where they are not. */
export const facesNeed =
  'needs codeformer.pth and detection_Resnet50_Final.pth in a folder of --annotators, and the server does not have both';
