/** Faces of a picture made clear: found, brought upright to a square, restored by a network, and put back, as A1111 does it with facexlib. */

import type { Engine } from '../../engine/engine.ts';
import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { createImage, type Image } from '../../image/image.ts';
import { warpAffine } from '../../image/opencv/warp-affine.ts';
import type { FaceDetectorNetwork, FaceParserNetwork, FaceRestorerNetwork } from '../../models/faces/index.ts';
import { createAnnotator, type OpenAnnotator } from '../../preprocessors/annotate.ts';
import { expectDType, float32, type Tensor } from '../../tensor/tensor.ts';
import { alignment } from './align-face.ts';
import { faceOutline } from './face-outline.ts';
import { imageToTensor } from './face-tensor.ts';
import { findFaces } from './find-faces.ts';
import { pasteFace } from './paste-face.ts';

export interface FaceRestorer extends AsyncDisposable {
  readonly detector: OpenAnnotator;
  /** Cuts faces out along their outline. Without it a face is put back as a soft square. */
  readonly parser?: OpenAnnotator | undefined;
  readonly side: number;
  /** x [1, 3, side, side] in [-1, 1] → the same. */
  run(x: Tensor<'float32'>, weight: number, signal?: AbortSignal): Promise<Tensor<'float32'>>;
}

export interface FaceNetworks {
  readonly detector: FaceDetectorNetwork;
  readonly restorer: FaceRestorerNetwork;
  readonly parser?: FaceParserNetwork | undefined;
}

/** The networks on an engine. Their weights are closed when it is disposed of. */
export function createFaceRestorer(
  engine: Engine,
  { detector: finds, restorer, parser: parses }: FaceNetworks,
): FaceRestorer {
  const detector = createAnnotator(engine, { ...finds, kind: finds.title });
  const parser = parses && createAnnotator(engine, { ...parses, kind: parses.title });
  let program: ReturnType<Engine['compile']> | undefined;
  return {
    detector,
    parser,
    side: restorer.side,
    async run(x, weight, signal) {
      program ??= engine.compile(restorer.trace(), restorer.weights, { signal });
      program.catch(() => (program = undefined));
      const fidelity = restorer.takesWeight ? { w: float32([1], [weight]) } : undefined;
      const { out } = await (await program).run({ x, ...fidelity }, { signal });
      const made = expectDType(out as Tensor, 'float32', 'out');
      if (made.data.every(Number.isFinite)) return made;
      throw new StableDiffusionError(
        'not-finite',
        `${restorer.title} made values that are not finite. Its file ${restorer.weights.label} may be damaged.`,
      );
    },
    async [Symbol.asyncDispose]() {
      await detector[Symbol.asyncDispose]();
      await parser?.[Symbol.asyncDispose]();
      await program?.then(
        (made) => made.dispose(),
        () => {},
      );
      await restorer.weights.close();
    },
  };
}

export interface RestoreFacesOptions {
  /** CodeFormer's fidelity, 0 (a clear face) to 1 (a like one); other networks have none. Default 0.5, as A1111. */
  readonly weight?: number | undefined;
  /** Share of the restored picture in the result, 0 to 1. Default 1. */
  readonly visibility?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onFace?: ((done: number, count: number) => void) | undefined;
}

/** Beyond the picture, red first: a grey. */
const outside = [132, 133, 135];

/** Fractions are cut off, as in `modules/face_restoration_utils.py` of A1111 v1.10.1. */
function toImage({ data }: Tensor<'float32'>, side: number): Image<3> {
  const size = side * side;
  const image = createImage(side, side, 3);
  for (let i = 0; i < size; i++)
    for (let c = 0; c < 3; c++) {
      const value = Math.min(1, Math.max(-1, data[c * size + i] as number));
      image.data[3 * i + c] = Math.trunc(Math.fround(Math.fround((value + 1) / 2) * 255));
    }
  return image;
}

function checkShare(name: string, value: number): void {
  if (!(value >= 0 && value <= 1))
    throw new StableDiffusionError('invalid-argument', `${name} is ${value}; it must be a number from 0 to 1.`);
}

/** The picture with its faces restored, and how many there are. Throws `invalid-argument`, `too-large`, `not-finite`, `aborted`. */
export async function restoreFaces(
  image: Image<3>,
  restorer: FaceRestorer,
  { weight = 0.5, visibility = 1, signal, onFace }: RestoreFacesOptions = {},
): Promise<{ readonly image: Image<3>; readonly faces: number }> {
  checkShare('weight', weight);
  checkShare('visibility', visibility);
  const faces = await findFaces(image, restorer.detector, signal);
  const samples = Float64Array.from(image.data);
  const { side } = restorer;
  for (const [i, { landmarks }] of faces.entries()) {
    throwIfAborted(signal);
    const aligned = alignment(landmarks, side);
    const cut = warpAffine(image, aligned, side, side, outside);
    const face = toImage(await restorer.run(imageToTensor(cut), weight, signal), side);
    const outline = restorer.parser && (await faceOutline(face, restorer.parser, signal));
    pasteFace(samples, image, { face, aligned, outline });
    onFace?.(i + 1, faces.length);
  }
  const data = image.data.map((old, i) => {
    const restored = Math.trunc(samples[i] as number);
    return visibility === 1 ? restored : Math.trunc(old + visibility * (restored - old));
  });
  return { image: createImage(image.width, image.height, 3, data), faces: faces.length };
}
