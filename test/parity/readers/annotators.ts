/** Networks of preprocessors: their outputs, and the maps and poses that are drawn from them. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openWeightsAt } from '../../../src/formats/open-weights-node.ts';
import { createImage, type Image } from '../../../src/image/image.ts';
import { readDpt } from '../../../src/models/annotators/dpt.ts';
import { type AnnotatorNetwork, readAnnotator } from '../../../src/models/annotators/index.ts';
import { createAnnotator, type OpenAnnotator } from '../../../src/preprocessors/annotate.ts';
import { scribbleFromMap } from '../../../src/preprocessors/line-drawing.ts';
import { animeDrawing, inverted, lineDrawing, planes, softEdges } from '../../../src/preprocessors/network-maps.ts';
import { findPeople } from '../../../src/preprocessors/people.ts';
import { drawPoses, poseNetworkSize, posesOf } from '../../../src/preprocessors/pose.ts';
import { drawLines, lineCentres, lineMap, linesOf } from '../../../src/preprocessors/straight-lines.ts';
import { atMultiplesOf64 } from '../../../src/preprocessors/working-size.ts';
import { convert } from '../../../src/tensor/convert.ts';
import { expectDType, float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { generateNormalisedWeights } from '../../generated-weights.ts';
import { pick, readTensors, type Tensors } from '../../tensors.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { type Reader, type RecordedCase, settingsOf } from '../reader.ts';

interface Case {
  readonly recorded: RecordedCase;
  readonly inputs: Tensors;
  readonly wanted: Tensors;
  readonly compare: Comparisons;
  readonly atol: (output: string) => number;
}

function imageOf(tensor: Tensor): Image<3> {
  const [height = 1, width = 1] = tensor.shape;
  return createImage(width, height, 3, Uint8Array.from(tensor.data as Uint8Array));
}

/** 8-bit maps of a float32 network may be one level off in single pixels; a scribble made from one may then differ at an edge. */
function comparePicture({ wanted, compare }: Case, output: string, made: Image, share = 0.005, levels = 1): void {
  const want = pick(wanted, output).data;
  const off = Array.from(made.data, (value, i) => Math.abs(value - Number(want[i])));
  const wrong = want.length !== off.length || off.some((value) => value > levels);
  compare.error(output, wrong ? 1 : off.filter((value) => value > 0).length / off.length, share, {
    note: 'share of pixels that are off',
  });
}

function compareTensor(one: Case, output: string, got: Tensor | undefined): void {
  one.compare.tensor(output, got, pick(one.wanted, output), one.atol(output));
}

const resolution = 64;
const atResolution64 = (inputs: Tensors): Image<3> => atMultiplesOf64(imageOf(pick(inputs, 'image')), resolution);

async function compareHed(one: Case, network: OpenAnnotator): Promise<void> {
  const image = imageOf(pick(one.inputs, 'image'));
  const outputs = await network.run(planes(image, (sample) => sample));
  for (const name of Object.keys(outputs)) compareTensor(one, name, outputs[name]);
  comparePicture(one, 'webui.edge', await softEdges(image, network, false));
  const sized = atResolution64(one.inputs);
  const edges = await softEdges(sized, network, false);
  comparePicture(one, 'aux.edge', edges);
  comparePicture(one, 'aux.safe', await softEdges(sized, network, true), 0.005, 128);
  comparePicture(one, 'aux.scribble', scribbleFromMap(edges), 0.02, 255);
}

async function compareLineart(one: Case, network: OpenAnnotator): Promise<void> {
  const image = imageOf(pick(one.inputs, 'image'));
  compareTensor(one, 'line', (await network.run(planes(image, (sample) => sample / 255)))['line']);
  comparePicture(one, 'aux', inverted(await lineDrawing(atResolution64(one.inputs), network)));
}

async function compareAnime(one: Case, network: OpenAnnotator): Promise<void> {
  let line: Tensor | undefined;
  const watched: OpenAnnotator = {
    ...network,
    run: async (x) => {
      const outputs = await network.run(x);
      line = outputs['line'];
      return outputs;
    },
  };
  comparePicture(one, 'aux', inverted(await animeDrawing(atResolution64(one.inputs), network)));
  await animeDrawing(imageOf(pick(one.inputs, 'image')), watched);
  const { shape = [], data = [] } = line ?? {};
  const [, , height = 0, width = 0] = shape;
  const columns = width / 4;
  const every = Array.from({ length: (height / 4) * columns }, (_, i) =>
    Number(data[4 * Math.floor(i / columns) * width + 4 * (i % columns)]),
  );
  compareTensor(one, 'line.every4th', float32([1, 1, height / 4, columns], every));
}

async function compareBody(one: Case, network: OpenAnnotator): Promise<void> {
  const image = imageOf(pick(one.inputs, 'image'));
  const outputs = await network.run(planes(image, (sample) => sample / 256 - 0.5));
  for (const name of ['paf', 'heat']) compareTensor(one, name, outputs[name]);
}

async function compareMlsd(one: Case, network: OpenAnnotator): Promise<void> {
  const image = imageOf(pick(one.inputs, 'image'));
  const map = await lineMap(image, network);
  compareTensor(one, 'tpMap', map);
  const best = lineCentres(map).slice(0, pick(one.wanted, 'scores').data.length);
  const points = BigInt64Array.from(best.flatMap(({ x, y }) => [BigInt(y), BigInt(x)]));
  compareTensor(one, 'points', { dtype: 'int64', shape: [best.length, 2], data: points });
  compareTensor(
    one,
    'scores',
    float32(
      [best.length],
      best.map(({ score }) => score),
    ),
  );
  for (const output of one.wanted.keys()) {
    const [, kind, score, distance] = /^(lines|map)\.([\d.]+)_([\d.]+)$/.exec(output) ?? [];
    const lines = linesOf(map, Number(score), Number(distance));
    if (kind === 'lines')
      one.compare.tensor(
        output,
        { dtype: 'float64', shape: [lines.length, 4], data: Float64Array.from(lines.flat()) },
        pick(one.wanted, output),
        1e-3,
      );
    if (kind === 'map') {
      const { width, height, data } = drawLines(lines, image.width, image.height);
      comparePicture(
        one,
        output,
        createImage(
          width,
          height,
          1,
          data.filter((_, i) => i % 3 === 0),
        ),
        0.005,
        255,
      );
    }
  }
}

async function compareDpt(one: Case, network: OpenAnnotator): Promise<void> {
  const outputs = await network.run(expectDType(pick(one.inputs, 'pixel_values'), 'float32'));
  compareTensor(one, 'predicted_depth', outputs['depth']);
  for (const output of one.wanted.keys()) if (output.startsWith('hidden.')) compareTensor(one, output, outputs[output]);
}

function comparePeople(one: Case): void {
  const [width = 0, height = 0] = String(settingsOf(one.recorded)['picture']).match(/\d+/g)?.map(Number) ?? [];
  const picture = { width, height };
  for (const name of one.inputs.keys()) {
    const [, number] = /^heat\.(\d+)$/.exec(name) ?? [];
    if (number === undefined) continue;
    const map = (kind: string) => expectDType(convert(pick(one.inputs, `${kind}.${number}`), 'float32'), 'float32');
    const found = findPeople(map('heat'), map('paf'), poseNetworkSize(picture), picture);
    const doubles = (rows: readonly (readonly number[])[], columns: number): Tensor => ({
      dtype: 'float64',
      shape: [rows.length, columns],
      data: Float64Array.from(rows.flat()),
    });
    const rows = found.joints.map(({ x, y, score, id }) => [x, y, score, id]);
    compareTensor(one, `candidate.${number}`, doubles(rows, 4));
    compareTensor(
      one,
      `subset.${number}`,
      doubles(
        found.people.map(({ joints, score, parts }) => [...joints, score, parts]),
        20,
      ),
    );
    comparePicture(one, `drawn.${number}`, drawPoses(posesOf(found, width, height), width, height), 0);
  }
}

const byKind: Readonly<Record<string, (one: Case, network: OpenAnnotator) => Promise<void>>> = {
  hed: compareHed,
  lineart: compareLineart,
  lineart_anime: compareAnime,
  openpose_body: compareBody,
  mlsd: compareMlsd,
  dpt: compareDpt,
};

async function networkOf(recorded: RecordedCase): Promise<AnnotatorNetwork> {
  const config = join(recorded.folder, 'config.json');
  if (existsSync(config)) {
    const { num_attention_heads: heads } = JSON.parse(readFileSync(config, 'utf8'));
    return readDpt(await openWeightsAt(join(recorded.folder, 'model.safetensors')), { heads });
  }
  const weights = generateNormalisedWeights(join(recorded.folder, 'weights.json'));
  // body_pose_model.pth has the bare names of layers.
  const named = /bodypose_model/.test(String(recorded.row['reference']))
    ? new Map([...weights].map(([name, value]) => [name.slice(name.indexOf('.') + 1), value]))
    : weights;
  return readAnnotator(memoryWeights(named));
}

const originals = /controlnet_aux (hed|lineart|lineart_anime|open_pose|mlsd)\b|DPTForDepthEstimation/;

export const reader: Reader = {
  set: 'control',
  reads: ({ reference }, part) => part === 'annotators' && originals.test(String(reference)),
  compare: collecting(async (recorded, compare) => {
    const { row, folder } = recorded;
    const outputs = row['outputs'] as Readonly<Record<string, { readonly atol?: number }>>;
    const one: Case = {
      recorded,
      compare,
      inputs: readTensors(join(folder, 'inputs.safetensors')),
      wanted: readTensors(join(folder, 'outputs.safetensors')),
      atol: (output) => outputs[output]?.atol ?? 0,
    };
    if (/draw_bodypose/.test(String(row['reference']))) return comparePeople(one);
    await using network = createAnnotator(parityEngine(), await networkOf(recorded));
    await byKind[network.kind]?.(one, network);
  }),
};
