/**
 * Several prompts in one, each with a weight: `a cat :1.2 AND a dog :0.8` (`get_multicond_prompt_list`, modules/prompt_parser.py of A1111
 * v1.10.1). Liu et al. 2022, "Compositional Visual Generation with Composable Diffusion Models" (arXiv 2206.01714).
 */

import { PYTHON_SPACE } from '../tokenizer/unicode-text.ts';
import { pythonFloat } from './python-number.ts';
import { splitAtWord, stripEnd } from './words.ts';

export interface PromptPart {
  readonly text: string;
  /** Factor on its share in the guidance. */
  readonly weight: number;
}

const number = new RegExp(`^[${PYTHON_SPACE}]*([-+]?(?:\\p{Nd}+\\.?|\\p{Nd}*\\.\\p{Nd}+))$`, 'u');

/** The parts of a prompt; one without AND has one. */
export function promptParts(prompt: string): PromptPart[] {
  return splitAtWord(prompt, 'AND').map((part) => {
    const text = stripEnd(part);
    const colon = text.lastIndexOf(':');
    const weight = colon < 0 ? undefined : number.exec(text.slice(colon + 1))?.[1];
    return weight === undefined
      ? { text, weight: 1 }
      : { text: stripEnd(text.slice(0, colon)), weight: pythonFloat(weight) };
  });
}
