/** Words for pictures: captions by BLIP, tags by DeepDanbooru, words of lists that fit by CLIP. */

export {
  type CaptionNetwork,
  type DescriberNetwork,
  detectDescriber,
  readDescriber,
  type TaggerNetwork,
} from '../models/describers/index.ts';
export { type Captioner, type CaptionOptions, createCaptioner } from './caption.ts';
export { type Category, categoryOf, type FittingWord, fittingWords, wordsText } from './categories.ts';
export { createTagger, type Tag, type Tagger, tagText, type TagTextOptions } from './tags.ts';
