/** `sd eval`: measures of pictures, autoencoders and models. */

import { mustAgree } from '../../distributed/agreement.ts';
import { type CliContext, defineCommand } from '../command.ts';
import { type RankSetting, withRanks } from '../distributed.ts';
import { startEngine } from '../engine-options.ts';
import { adm } from '../evaluations/adm.ts';
import { bits } from '../evaluations/bits.ts';
import { guidance } from '../evaluations/guidance.ts';
import { pictures } from '../evaluations/pictures.ts';
import { reconstruction } from '../evaluations/reconstruction.ts';
import { evalOptions, type Task } from '../evaluations/task.ts';
import { UsageError } from '../options.ts';
import { createProgress } from '../progress.ts';

const evaluations: Readonly<Record<string, (task: Task) => Promise<void>>> = {
  pictures,
  reconstruction,
  guidance,
  bits,
  adm,
};

export const evalCommand = defineCommand({
  description:
    "Measures pictures, autoencoders and models. pictures: FID, KID, precision and recall between two folders (and the inception score, with a classifier); reconstruction: PSNR, SSIM and LPIPS of an autoencoder; guidance: FID against CLIP score over guidance scales, as a plot and JSON; bits: bits per dimension of pictures under a model of guided-diffusion; adm: FID, sFID, inception score, precision and recall with guided-diffusion's arithmetic, compared with the numbers of a paper.",
  words: '<pictures|reconstruction|guidance|bits|adm>',
  options: evalOptions,
  examples: [
    'sd eval pictures --real photos --made outputs/txt2img-samples/samples --features pt_inception-2015-12-05-6726825d.pth',
    'sd eval pictures --real VIRTUAL_imagenet64.npz --made outputs/samples/samples_50000x64x64x3.npz --features inception.pth',
    'sd eval adm --real VIRTUAL_imagenet64.npz --made outputs/samples/samples_50000x64x64x3.npz --features inception.pth --paper imagenet64 --output report',
    'sd eval bits --model 64x64_diffusion.pt --real imagenet-validation --count 1000',
    'sd eval reconstruction --model sd-v1-4.ckpt --real photos --size 512 --lpips vgg_lpips.pth',
    'mpirun -n 4 sd eval pictures --real photos --made samples --features inception.pth',
    'sd eval guidance --model sd-v1-4.ckpt --real val2017 --prompts captions_val2017.json --count 10000 --features inception.pth --clip clip.safetensors',
    'sd eval guidance --model sd-v1-4.ckpt --model sd-v1-5.safetensors --real coco --features inception.pth --clip clip-vit-large-patch14.safetensors --count 1000',
  ],
  run: (context, [word = ''], values) =>
    withRanks(context, values, (setting, own) => evaluate(word, setting, own, values)),
});

/** On this rank, or alone. */
async function evaluate(
  word: string,
  { communicator, threads }: RankSetting,
  context: CliContext,
  values: Task['values'],
): Promise<number> {
  const evaluation = Object.hasOwn(evaluations, word) ? evaluations[word] : undefined;
  if (!evaluation)
    throw new UsageError(
      `Unknown evaluation ${JSON.stringify(word)}. Choose pictures, reconstruction, guidance, bits or adm.`,
    );
  await mustAgree(communicator, {
    'the version of this program': context.version ?? '',
    'the options': JSON.stringify({ ...values, threads: undefined }),
  });
  const { openWeightsAt } = await import('../../formats/open-weights-node.ts');
  const { joined } = await import('../../weights/view.ts');
  const progress = createProgress(context.err, context.now, values.quiet || values.json || communicator.rank > 0);
  const closing: (() => PromiseLike<void>)[] = [];
  const engine = await startEngine({ ...values, threads }, context);
  closing.push(() => engine.dispose());
  const open = async (path: string) => {
    const source = await openWeightsAt(path);
    closing.push(() => source.close());
    return source;
  };
  try {
    await evaluation({
      context,
      values,
      progress,
      engine,
      communicator,
      async loadModel(path) {
        const { loadModel } = await import('../../model/load-model-node.ts');
        const model = await loadModel(path, { engine });
        closing.push(() => model.dispose());
        return model;
      },
      async openAutoencoder(path) {
        const { firstStageOf } = await import('../../evaluation/first-stage-node.ts');
        const stage = await firstStageOf(engine, await open(path), path);
        closing.push(() => stage[Symbol.asyncDispose]());
        return stage;
      },
      async openFeatures(path) {
        const { featuresNetwork } = await import('../../evaluation/features.ts');
        const network = featuresNetwork(engine, await open(path));
        closing.push(() => network[Symbol.asyncDispose]());
        return network;
      },
      async openAdmFeatures(path) {
        const { admNetwork } = await import('../../evaluation/adm-features.ts');
        const network = await admNetwork(engine, await open(path));
        closing.push(() => network[Symbol.asyncDispose]());
        return network;
      },
      async openLpips(paths) {
        const { perceptualNetwork } = await import('../../evaluation/perceptual-network.ts');
        const network = await perceptualNetwork(engine, joined(await Promise.all(paths.map(open))));
        closing.push(() => network[Symbol.asyncDispose]());
        return network;
      },
    });
  } finally {
    progress.clear();
    for (const close of closing.reverse()) await close();
  }
  return 0;
}
