/** A prompt with the text of a style, as A1111 joins them (modules/styles.py, merge_prompts). */

/** The text takes the place of `{prompt}`, else comes behind a comma. */
export function withStyle(prompt: string, text: string): string {
  if (text.trim() === '') return prompt;
  if (text.includes('{prompt}')) return text.replaceAll('{prompt}', () => prompt);
  return [prompt.trim(), text.trim()].filter((part) => part !== '').join(', ');
}
