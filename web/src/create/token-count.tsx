/** How many of CLIP's tokens a prompt takes, of how many there is room for, as A1111 shows it. CLIP's vocabulary is loaded when it is first needed. */

import { useEffect, useState } from 'react';
import { studio, useStudio } from '../studio.ts';

interface Count {
  readonly count: number;
  readonly room: number;
}
type Counter = (prompt: string, isA1111: boolean) => Count;

const wait = 250;
let counter: Promise<Counter> | undefined;

async function loadCounter(): Promise<Counter> {
  const [{ createClipTokenizer }, { promptChunks }, { extraNetworks }] = await Promise.all([
    import('stable-diffusion-ts/tokenizer/clip-tokenizer.ts'),
    import('stable-diffusion-ts/prompt/chunks.ts'),
    import('stable-diffusion-ts/prompt/extra-networks.ts'),
  ]);
  const tokenizer = createClipTokenizer();
  return (prompt, isA1111) => {
    // A plain prompt is one sequence; what does not fit is cut off.
    if (!isA1111) return { count: tokenizer.encode(prompt).length, room: 75 };
    const { chunks, count } = promptChunks(tokenizer, extraNetworks(prompt).text);
    return { count, room: chunks.length * 75 };
  };
}

function useCount(prompt: string): Count | undefined {
  const [count, setCount] = useState<Count>();
  const { model } = useStudio();
  const syntax = studio.promptSyntax();
  // A model without A1111's syntax has no CLIP.
  const hasClip = studio.model?.promptSyntaxes?.includes('a1111') ?? false;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another model may read prompts otherwise
  useEffect(() => {
    if (!hasClip || prompt === '') return setCount(undefined);
    let current = true;
    const timer = setTimeout(() => {
      counter ??= loadCounter();
      counter
        .then((countTokens) => current && setCount(countTokens(prompt, syntax === 'a1111')))
        // Without a network there may be no vocabulary; and not every text is a prompt while it is typed.
        .catch(() => current && setCount(undefined));
    }, wait);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [prompt, syntax, hasClip, model]);
  return count;
}

export function TokenCount({ prompt }: { readonly prompt: string }) {
  const count = useCount(prompt);
  if (!count) return null;
  const cut = count.count > count.room;
  return (
    <span
      className="tokens"
      data-cut={cut}
      title={cut ? 'The end of the prompt is cut off' : 'Tokens of the prompt, and room for them'}
    >
      <span className="visually-hidden">Tokens: </span>
      {count.count}/{count.room}
    </span>
  );
}
