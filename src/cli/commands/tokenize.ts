/** `sd tokenize`: converts texts to the token ids that a text encoder receives. */

import type { Tokenizer } from '../../conditioning/conditioner.ts';
import { readFileOf, readTextOf } from '../../files/open-node.ts';
import { StableDiffusionError } from '../../errors.ts';
import { defineCommand } from '../command.ts';
import { choice, flag, integer, type OptionValues, text, UsageError } from '../options.ts';
import { textLines } from '../text-lines.ts';

const clipProfiles = ['openai', 'openai_noftfy', 'hf_fast', 'hf_slow_noftfy', 'hf5'] as const;
const bertProfiles = ['fast', 'slow'] as const;

const options = {
  fromFile: text(
    ['--from-file'],
    'FILE',
    'file with one text per line (with --json, one JSON string per line); - is standard input',
  ),
  model: text(['--model', '--ckpt'], 'PATH', 'use the tokenizer of this model'),
  config: text(['--config'], 'FILE', "the model's YAML"),
  vocabSize: integer(
    ['--vocab-size'],
    "vocabulary size of CLIP's tokenizer; a smaller one has fewer merges (default: 49408)",
    { min: 1 },
  ),
  profile: choice(
    ['--profile'],
    [...clipProfiles, ...bertProfiles],
    'text normalisation (default: openai; for BERT: fast)',
  ),
  bert: text(['--bert', '--vocab'], 'FILE', "use BERT's tokenizer with this vocab.txt"),
  sentencePiece: text(['--sentencepiece'], 'FILE', "use T5's tokenizer with this spiece.model or tokenizer.json"),
  length: integer(['--length'], 'pad or cut to exactly N ids, the end token last (default: all ids, without padding)', {
    min: 2,
  }),
  json: flag(['--json'], 'print one JSON object per text: ids and, with --length, truncated'),
};

type Values = OptionValues<typeof options>;

async function openSentencePiece(path: string): Promise<Tokenizer> {
  const { createSentencePieceTokenizer, sentencePieceTokenizer } = await import(
    '../../tokenizer/sentencepiece/tokenizer.ts'
  );
  const bytes = await readFileOf('tokenizer', path);
  if (!path.endsWith('.json')) return createSentencePieceTokenizer(bytes);
  const { readTokenizerJson } = await import('../../tokenizer/sentencepiece/tokenizer-json.ts');
  return sentencePieceTokenizer(readTokenizerJson(new TextDecoder().decode(bytes), path));
}

async function openTokenizer(values: Values): Promise<Tokenizer> {
  const { model, bert, sentencePiece, vocabSize, profile, config } = values;
  if ([model, bert, sentencePiece, vocabSize].filter((value) => value !== undefined).length > 1)
    throw new UsageError('Give only one of --model, --bert, --sentencepiece and --vocab-size.');
  if (sentencePiece !== undefined) {
    if (profile !== undefined) throw new UsageError('--profile belongs to the tokenizers of CLIP and BERT.');
    return openSentencePiece(sentencePiece);
  }
  const clipProfile = clipProfiles.find((name) => name === profile);
  if (bert !== undefined) {
    const { createBertTokenizer } = await import('../../tokenizer/bert-tokenizer.ts');
    const bertProfile = bertProfiles.find((name) => name === profile);
    if (clipProfile)
      throw new UsageError(
        `--profile ${clipProfile} belongs to CLIP's tokenizer. For BERT choose ${bertProfiles.join(' or ')}.`,
      );
    const vocab = await readTextOf('tokenizer', bert);
    return createBertTokenizer({ vocab, ...(bertProfile ? { profile: bertProfile } : {}) });
  }
  if (profile !== undefined && !clipProfile)
    throw new UsageError(
      `--profile ${profile} belongs to BERT's tokenizer. For CLIP choose ${clipProfiles.join(', ')}.`,
    );
  const { createClipTokenizer } = await import('../../tokenizer/clip-tokenizer.ts');
  const profiled = clipProfile ? { profile: clipProfile } : {};
  if (model === undefined) return createClipTokenizer({ vocabSize, ...profiled });
  const { loadModel } = await import('../../model/load-model-node.ts');
  const { createNodeEngine } = await import('../../engine/node.ts');
  await using engine = createNodeEngine();
  await using loaded = await loadModel(model, { engine, config });
  const { tokenizer } = loaded;
  if (!tokenizer)
    throw new StableDiffusionError(
      'invalid-argument',
      `${model} has no tokenizer: either it takes no text, or its vocab.txt is missing next to it (give it with --bert).`,
    );
  return clipProfile && 'profile' in tokenizer
    ? createClipTokenizer({ vocabSize: tokenizer.vocabSize, profile: clipProfile })
    : tokenizer;
}

function readJsonText(line: string, number: number): string {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'string') return value;
  } catch {
    // Reported below.
  }
  throw new StableDiffusionError(
    'invalid-argument',
    `Line ${number} must be a JSON string such as "a red apple" (because of --json), got ${line.slice(0, 40)}.`,
  );
}

export const tokenize = defineCommand({
  description:
    'Converts texts to token ids, including start and end tokens; with --length, padded or cut to that length.',
  words: '[text...]',
  options,
  examples: [
    'sd tokenize "a red apple"',
    `printf '%s\\n' '"a red apple"' | sd tokenize --json --from-file -`,
    'sd tokenize --bert vocab.txt --length 77 "a red apple"',
    'sd tokenize --sentencepiece spiece.model "a red apple"',
  ],
  async run(context, words, values) {
    if (words.length > 0 === (values.fromFile !== undefined))
      throw new UsageError('Give either a text as arguments, or a file of texts with --from-file.');
    const tokenizer = await openTokenizer(values);
    const start = 'startId' in tokenizer ? [tokenizer.startId] : [];
    const print = (given: string): void => {
      const { length } = values;
      const result =
        length === undefined
          ? { ids: [...start, ...tokenizer.encode(given), tokenizer.endId] }
          : tokenizer.tokenize(given, { length });
      const { ids } = result;
      context.out.write(
        values.json
          ? `${JSON.stringify('truncated' in result ? { ids, truncated: result.truncated } : { ids })}\n`
          : `${ids.join(' ')}\n`,
      );
    };
    if (values.fromFile === undefined) print(words.join(' '));
    else {
      let number = 0;
      for await (const line of textLines(values.fromFile, context.input)) {
        number++;
        if (values.json && line.trim() === '') continue;
        print(values.json ? readJsonText(line, number) : line);
      }
    }
    return 0;
  },
});
