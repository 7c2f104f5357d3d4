/** `sd restore-faces`: makes the faces of pictures clear. */

import { join } from 'node:path';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import { flatten } from '../../image/image.ts';
import { readFaceDetector, readFaceParser, readFaceRestorer } from '../../models/faces/index.ts';
import { createFaceRestorer, restoreFaces } from '../../upscaling/faces/restore-faces.ts';
import { changePictures, resultOptions, resultPaths } from '../change-pictures.ts';
import { defineCommand } from '../command.ts';
import { engineOptions, startEngine } from '../engine-options.ts';
import { number, text, UsageError } from '../options.ts';

const options = {
  model: text(
    ['--model', '-m'],
    'FILE',
    'network that restores faces: codeformer.pth, GFPGANv1.4.pth, RestoreFormer.pth',
  ),
  detector: text(['--detector'], 'FILE', 'network that finds them: detection_Resnet50_Final.pth of facexlib'),
  parser: text(['--parser'], 'FILE', 'network that finds their outline: parsing_parsenet.pth (default: a soft square)'),
  weight: number(
    ['--weight'],
    'CodeFormer: 0 for the clearest face, 1 for the one most like the given (default: 0.5)',
    {
      min: 0,
      max: 1,
    },
  ),
  visibility: number(['--visibility'], 'share of the restored picture in the result (default: 1)', { min: 0, max: 1 }),
  device: engineOptions.device,
  threads: engineOptions.threads,
  ...resultOptions('outputs/restored'),
};

export const restoreFacesCommand = defineCommand({
  description:
    'Makes blurred or broken faces clear with CodeFormer, GFPGAN or RestoreFormer. A picture without faces is written as it is.',
  words: '<picture...>',
  options,
  examples: [
    'sd restore-faces old.jpg --model codeformer.pth --detector detection_Resnet50_Final.pth --weight 0.7',
    'sd restore-faces old.jpg --model GFPGANv1.4.pth --detector detection_Resnet50_Final.pth --parser parsing_parsenet.pth',
  ],
  async run(context, pictures, values) {
    const { model, detector, parser, weight, visibility, output, outdir = join('outputs', 'restored'), json } = values;
    if (model === undefined)
      throw new UsageError(
        '--model is required: the file of CodeFormer, GFPGAN or RestoreFormer (codeformer.pth, GFPGANv1.4.pth, RestoreFormer.pth).',
      );
    if (detector === undefined)
      throw new UsageError('--detector is required: the file of RetinaFace (detection_Resnet50_Final.pth).');
    resultPaths(pictures, { output, outdir });
    const { signal } = context;
    const networks = {
      detector: readFaceDetector(await openWeightsAt(detector)),
      restorer: readFaceRestorer(await openWeightsAt(model)),
      ...(parser === undefined ? {} : { parser: readFaceParser(await openWeightsAt(parser)) }),
    };
    await using engine = await startEngine(values, context);
    await using restorer = createFaceRestorer(engine, networks);
    await changePictures(context, pictures, { output, outdir, json }, async (picture, onFace) => {
      const { image, faces } = await restoreFaces(flatten(picture), restorer, { weight, visibility, signal, onFace });
      return { image, facts: { faces }, remark: `${faces} ${faces === 1 ? 'face' : 'faces'}` };
    });
    return 0;
  },
});
