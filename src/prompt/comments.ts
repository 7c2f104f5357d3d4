/** Comments in prompts: from a `#` to the end of the line (`strip_comments`, modules/processing_scripts/comments.py of A1111 v1.10.1). */

/** The prompt without its comments; each leaves a line break. */
export function withoutComments(prompt: string): string {
  return prompt.replace(/(^|\n)#[^\n]*(\n|$)/g, '\n').replace(/#[^\n]*(\n|$)/g, '\n');
}
