/**
 * The blocks of networks whose activations are calculated again in the backward pass (`use_checkpoint` of the UNet configurations:
 * ResBlock, AttentionBlock, BasicTransformerBlock; here also the blocks of autoencoders and text encoders).
 */

const patterns = [
  /(?:^|\.)(?:(?:input_blocks|output_blocks)\.\d+\.\d+|middle_block\.\d+)(?:\.transformer_blocks\.\d+)?/,
  /(?:^|\.)(?:(?:down|up)\.\d+\.(?:block|attn)\.\d+|mid\.(?:block|attn)_\d+)/,
  /(?:^|\.)(?:layers|resblocks)\.\d+/,
];

/** The block a module lies in, by the module's path, or undefined for what lies in none: the option `checkpoint` of `gradients`. */
export function blockOfModule(scope: string): string | undefined {
  for (const pattern of patterns) {
    const match = pattern.exec(scope);
    if (match) return scope.slice(0, match.index + match[0].length);
  }
  return undefined;
}
