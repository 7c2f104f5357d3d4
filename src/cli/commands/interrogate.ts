/** `sd interrogate`: words for pictures. */

import { captionDefaults } from '../../describing/caption.ts';
import { fittingWords, wordsText } from '../../describing/categories.ts';
import { openCategories, openDescriber, openWordRanker } from '../../describing/open-node.ts';
import { tagText } from '../../describing/tags.ts';
import { openImage } from '../../pipelines/image-files-node.ts';
import { defineCommand } from '../command.ts';
import { engineOptions, startEngine } from '../engine-options.ts';
import { needing } from '../needed-options.ts';
import { flag, integer, number, text, UsageError } from '../options.ts';

const options = {
  model: text(
    ['--model', '-m'],
    'FILE',
    'network that describes pictures: BLIP (model_base_caption_capfilt_large.pth, or a folder of transformers) for a sentence, DeepDanbooru (model-resnet_custom_v3.pt) for tags',
  ),
  vocabulary: text(['--vocab'], 'FILE', "vocab.txt of bert-base-uncased, for BLIP (default: next to the model's file)"),
  beams: integer(['--beams'], `sentences followed at the same time (default: ${captionDefaults.beams})`, {
    min: 1,
    max: 24,
  }),
  minLength: integer(['--min-length'], `fewest tokens of a sentence (default: ${captionDefaults.shortest})`, {
    min: 1,
    max: 128,
  }),
  maxLength: integer(['--max-length'], `most tokens of a sentence (default: ${captionDefaults.longest})`, {
    min: 1,
    max: 256,
  }),
  clip: text(['--clip'], 'FILE', 'CLIP that adds the words of --words that fit: clip-vit-large-patch14'),
  words: needing(text(['--words'], 'DIR', 'folder of NAME.txt with a word on each line: artists, mediums'), '--clip'),
  threshold: number(['--threshold'], 'least score of a tag (default: 0.5)', { min: 0, max: 1 }),
  device: engineOptions.device,
  threads: engineOptions.threads,
  json: flag(['--json'], 'print one JSON object for each picture; every tag with its score'),
};

export const interrogateCommand = defineCommand({
  description: 'Describes pictures, so that the words can be a prompt: a sentence by BLIP, or tags by DeepDanbooru.',
  words: '<picture...>',
  options,
  examples: [
    'sd interrogate photo.jpg --model blip-image-captioning-base',
    'sd interrogate photo.jpg --model model_base_caption_capfilt_large.pth --clip clip-vit-large-patch14 --words lists',
    'sd interrogate drawing.png --model model-resnet_custom_v3.pt --threshold 0.6',
  ],
  async run(context, pictures, values) {
    const { model, vocabulary, beams, minLength: shortest, maxLength: longest, clip, words, threshold, json } = values;
    if (model === undefined)
      throw new UsageError(
        '--model is required: the file of BLIP (model_base_caption_capfilt_large.pth) or DeepDanbooru (model-resnet_custom_v3.pt).',
      );
    if (clip !== undefined && words === undefined) throw new UsageError('--clip needs --words, a folder of lists.');
    const { out, signal } = context;
    const lists = words === undefined ? [] : await openCategories(words);
    await using engine = await startEngine(values, context);
    await using describer = await openDescriber(engine, model, { vocabulary });
    await using ranker = clip === undefined ? undefined : await openWordRanker(engine, clip);
    for (const picture of pictures) {
      const image = await openImage(picture);
      const fitting = ranker ? await fittingWords(ranker, image, lists, { signal }) : [];
      if (describer.kind === 'tagger') {
        const tags = await describer.tags(image, signal);
        const said = `${tagText(tags, { threshold })}${wordsText(fitting, false)}`;
        out.write(`${json ? JSON.stringify({ picture, text: said, tags, words: fitting }) : said}\n`);
      } else {
        const caption = await describer.caption(image, { beams, shortest, longest, signal });
        const said = `${caption}${wordsText(fitting, false)}`;
        out.write(`${json ? JSON.stringify({ picture, text: said, caption, words: fitting }) : said}\n`);
      }
    }
    return 0;
  },
});
