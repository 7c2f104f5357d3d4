/** The preprocessors whose map a network draws, by the kind of the network (`models/annotators/`). A new one is a row here. */

import type { Image } from '../image/image.ts';
import type { Annotator } from '../models/annotators/annotator.ts';
import { normalMap } from './depth-maps.ts';
import { scribbleFromMap } from './line-drawing.ts';
import {
  animeDrawing,
  depthAnythingPicture,
  depthPicture,
  type EdgeLevels,
  inverted,
  lineDrawing,
  networkDepth,
  pixelDifferences,
  softEdges,
} from './network-maps.ts';
import { setting } from './plain-preprocessors.ts';
import { posePicture } from './pose.ts';
import type { NetworkPreprocessor, PreprocessSettings } from './preprocessor.ts';
import { classColours } from './segmentation.ts';
import { drawLines, lineMap, linesOf } from './straight-lines.ts';
import { atResolution } from './working-size.ts';

type DrawByNetwork = (image: Image<3>, annotator: Annotator, settings: PreprocessSettings) => Promise<Image>;

/** As `padded`, for maps that a network draws. */
const paddedBy =
  (draw: DrawByNetwork): NetworkPreprocessor['run'] =>
  async (image, settings, annotator) => {
    const { padded: whole, cut } = atResolution(image, settings.resolution);
    return cut(await draw(whole, annotator, settings));
  };

const hedMap =
  (safe: boolean): DrawByNetwork =>
  (image, annotator, { signal }) =>
    softEdges(image, annotator, safe, signal);

/** PiDiNet's maps: a row of name, title, type and levels. */
const pidinetRow = (
  name: string,
  title: string,
  type: string,
  levels: EdgeLevels,
  after?: (map: Image<1>) => Image<1>,
): NetworkPreprocessor => ({
  name,
  title,
  types: [type],
  usesResolution: true,
  network: 'pidinet',
  run: async (image, settings, annotator) => {
    const draw = paddedBy((whole, network, { signal }) => pixelDifferences(whole, network, levels, signal));
    const map = (await draw(image, settings, annotator)) as Image<1>;
    return after ? after(map) : map;
  },
});

export const networkPreprocessors: readonly NetworkPreprocessor[] = [
  pidinetRow('pidinet', 'softedge_pidinet', 'SoftEdge', 'all'),
  pidinetRow('pidinet_safe', 'softedge_pidisafe', 'SoftEdge', 'safe'),
  pidinetRow('pidinet_sketch', 't2ia_sketch_pidi', 'T2I-Adapter', 'binary'),
  pidinetRow('pidinet_scribble', 'scribble_pidinet', 'Scribble', 'all', scribbleFromMap),
  ...(['depth_anything', 'depth_anything_v2'] as const).map(
    (name): NetworkPreprocessor => ({
      name,
      title: name,
      types: ['Depth'],
      usesResolution: true,
      network: name,
      run: paddedBy((image, annotator, { signal }) => depthAnythingPicture(image, annotator, signal)),
    }),
  ),
  {
    name: 'hed',
    title: 'softedge_hed',
    types: ['SoftEdge'],
    usesResolution: true,
    network: 'hed',
    run: paddedBy(hedMap(false)),
  },
  {
    name: 'hed_safe',
    title: 'softedge_hedsafe',
    types: ['SoftEdge'],
    usesResolution: true,
    network: 'hed',
    run: paddedBy(hedMap(true)),
  },
  {
    name: 'scribble_hed',
    title: 'scribble_hed',
    types: ['Scribble'],
    usesResolution: true,
    network: 'hed',
    run: async (image, settings, annotator) =>
      scribbleFromMap((await paddedBy(hedMap(false))(image, settings, annotator)) as Image<1>),
  },
  ...(['lineart', 'lineart_coarse'] as const).map(
    (name): NetworkPreprocessor => ({
      name,
      title: name === 'lineart' ? 'lineart_realistic' : name,
      types: ['Lineart'],
      usesResolution: true,
      network: 'lineart',
      run: paddedBy(async (image, annotator, { signal }) => inverted(await lineDrawing(image, annotator, signal))),
    }),
  ),
  {
    name: 'lineart_anime',
    title: 'lineart_anime',
    types: ['Lineart'],
    usesResolution: true,
    network: 'lineart_anime',
    run: paddedBy(async (image, annotator, { signal }) => inverted(await animeDrawing(image, annotator, signal))),
  },
  {
    name: 'mlsd',
    title: 'mlsd',
    types: ['MLSD'],
    usesResolution: true,
    network: 'mlsd',
    a: setting('MLSD Value Threshold', 0.01, 2, 0.1, 0.01),
    b: setting('MLSD Distance Threshold', 0.01, 20, 0.1, 0.01),
    run: paddedBy(async (image, annotator, { a, b, signal }) =>
      drawLines(linesOf(await lineMap(image, annotator, signal), a, b), image.width, image.height),
    ),
  },
  {
    name: 'depth',
    title: 'depth_midas',
    types: ['Depth'],
    usesResolution: true,
    network: 'dpt',
    run: paddedBy((image, annotator, { signal }) => depthPicture(image, annotator, signal)),
  },
  {
    name: 'normal_map',
    title: 'normal_midas',
    types: ['NormalMap'],
    usesResolution: true,
    network: 'dpt',
    a: setting('Normal Background Threshold', 0, 1, 0.4, 0.01),
    run: paddedBy(async (image, annotator, { a, signal }) =>
      normalMap(await networkDepth(image, annotator, signal), 2 * Math.PI, a),
    ),
  },
  {
    name: 'segmentation',
    title: 'seg_ufade20k',
    types: ['Segmentation'],
    usesResolution: true,
    network: 'uniformer',
    run: paddedBy((image, annotator, { signal }) => classColours(image, annotator, signal)),
  },
  {
    name: 'openpose',
    title: 'openpose',
    types: ['OpenPose'],
    usesResolution: true,
    network: 'openpose_body',
    run: paddedBy((image, annotator, { signal }) => posePicture(image, annotator, signal)),
  },
];
