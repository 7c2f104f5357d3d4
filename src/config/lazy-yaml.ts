/** The reader of YAML in a module of its own, so that a page loads it (30 kB after gzip) only with a model whose configuration is YAML. */

/** `parseYaml`, loaded when it is first needed. Throws `config-invalid`, naming `label`, line and column. */
export async function lazyYaml(text: string, label: string): Promise<unknown> {
  const { parseYaml } = await import('./yaml.ts');
  return parseYaml(text, label);
}
