/** `sd restore-faces`: makes the faces of pictures clear. */

import { join, parse } from 'node:path';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import { flatten } from '../../image/image.ts';
import { readFaceDetector, readFaceRestorer } from '../../models/faces/index.ts';
import { openImage, saveImageFile } from '../../pipelines/image-files-node.ts';
import { createFaceRestorer, restoreFaces } from '../../upscaling/faces/restore-faces.ts';
import { defineCommand } from '../command.ts';
import { engineOptions, startEngine } from '../engine-options.ts';
import { createProgress } from '../progress.ts';
import { excluding } from '../needed-options.ts';
import { flag, number, text, UsageError } from '../options.ts';

const options = {
  model: text(['--model', '-m'], 'FILE', 'network that restores faces: codeformer.pth'),
  detector: text(['--detector'], 'FILE', 'network that finds them: detection_Resnet50_Final.pth of facexlib'),
  weight: number(['--weight'], '0 for the clearest face, 1 for the one most like the given (default: 0.5)', {
    min: 0,
    max: 1,
  }),
  visibility: number(['--visibility'], 'share of the restored picture in the result (default: 1)', { min: 0, max: 1 }),
  outdir: excluding(text(['--outdir'], 'DIR', 'folder for the results (default: outputs/restored)'), '--output'),
  output: text(['--output', '-o'], 'FILE', 'path of the result, for one picture'),
  device: engineOptions.device,
  threads: engineOptions.threads,
  json: flag(['--json'], 'print one JSON object for each picture'),
};

export const restoreFacesCommand = defineCommand({
  description: 'Makes blurred or broken faces clear with CodeFormer. A picture without faces is written as it is.',
  words: '<picture...>',
  options,
  examples: ['sd restore-faces old.jpg --model codeformer.pth --detector detection_Resnet50_Final.pth --weight 0.7'],
  async run(context, pictures, values) {
    const { model, detector, weight, visibility, output, outdir = join('outputs', 'restored') } = values;
    if (model === undefined) throw new UsageError('--model is required: the file of CodeFormer (codeformer.pth).');
    if (detector === undefined)
      throw new UsageError('--detector is required: the file of RetinaFace (detection_Resnet50_Final.pth).');
    if (output !== undefined && pictures.length > 1) throw new UsageError('--output takes one picture; use --outdir.');
    const { signal } = context;
    const networks = {
      detector: readFaceDetector(await openWeightsAt(detector)),
      restorer: readFaceRestorer(await openWeightsAt(model)),
    };
    await using engine = await startEngine(values, context);
    await using restorer = createFaceRestorer(engine, networks);
    const progress = createProgress(context.err, context.now, false);
    for (const picture of pictures) {
      const image = flatten(await openImage(picture));
      const path = output ?? join(outdir, `${parse(picture).name}.png`);
      const onFace = (done: number, count: number): void => progress.step(picture, done, count);
      const made = await restoreFaces(image, restorer, { weight, visibility, signal, onFace });
      progress.clear();
      await saveImageFile(path, made.image, { signal });
      const { faces } = made;
      context.out.write(
        values.json ? `${JSON.stringify({ path, faces })}\n` : `${path} (${faces} ${faces === 1 ? 'face' : 'faces'})\n`,
      );
    }
    return 0;
  },
});
