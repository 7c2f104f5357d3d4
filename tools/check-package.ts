/**
 * Checks the package as its users get it: packs it, installs the tarball in an empty project with npm, and there makes a picture in Node,
 * compiles programs with TypeScript and builds a page with Vite. States the sizes of the tarball and of a bundle for browsers.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '..');
const megabyte = 1e6;

/** What belongs into the tarball. */
const belongs =
  /^(README\.md|CHANGELOG\.md|LICENSE|NOTICE|package\.json|dist\/.+\.(js|d\.ts)|models\/[^/]+\.(safetensors|yaml|md)|web\/dist\/.+)$/;
const mostTarball = 40 * megabyte;
/** Bytes after gzip of what a page loads at once for `loadModel` and `textToImage`, without onnxruntime. */
const mostInitial = 212_000;

class Failed extends Error {}

function demand(holds: boolean, message: string): asserts holds {
  if (!holds) throw new Failed(message);
}

/** Runs a program in a folder; gives both of its outputs, and fails with them where it fails. */
function run(folder: string, command: string, args: readonly string[]): { readonly out: string; readonly err: string } {
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip', NO_COLOR: '1' };
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: folder, encoding: 'utf8', env });
  demand(status === 0, `${command} ${args.join(' ')} failed: ${error?.message ?? ''}\n${stdout}\n${stderr}`);
  return { out: stdout, err: stderr };
}

const kilobytes = (bytes: number) => `${Math.round(bytes / 1000)} kB`;

interface Packed {
  readonly filename: string;
  readonly size: number;
  readonly files: readonly { readonly path: string }[];
}

/** Packs what is built; gives the tarball's path. */
function pack(folder: string): string {
  const { out } = run(root, 'npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder]);
  const packed = (JSON.parse(out) as readonly Packed[])[0];
  demand(packed !== undefined, 'npm packed nothing.');
  const paths = packed.files.map(({ path }) => path);
  const strangers = paths.filter((path) => !belongs.test(path));
  demand(strangers.length === 0, `The tarball holds files that do not belong: ${strangers.join(', ')}.`);
  const source = (path: string) => join(root, path.replace(/^dist/, 'src').replace(/(\.d\.ts|\.js)$/, '.ts'));
  const compiled = paths.filter((path) => path.startsWith('dist/') && !path.startsWith('dist/command/'));
  const stale = compiled.filter((path) => !existsSync(source(path)));
  demand(
    stale.length === 0,
    `Files in dist without a source (remove dist and build, then build): ${stale.join(', ')}.`,
  );
  for (const needed of [
    'dist/index.js',
    'dist/index-web.js',
    'dist/cli/main.js',
    'dist/command/command-thread.js',
    'models/pocket.safetensors',
  ]) {
    demand(paths.includes(needed), `The tarball lacks ${needed}.`);
  }
  demand(packed.size <= mostTarball, `The tarball has ${packed.size} bytes, more than ${mostTarball}.`);
  console.log(`tarball: ${(packed.size / megabyte).toFixed(1)} MB, ${paths.length} files`);
  return join(folder, packed.filename);
}

/** An empty project with the tarball installed. The install scripts of its dependencies do not run. */
function install(folder: string, tarball: string): string {
  const app = join(folder, 'app');
  mkdirSync(app);
  const manifest = {
    name: 'app',
    private: true,
    type: 'module',
    allowScripts: { 'onnxruntime-node': false, protobufjs: false },
  };
  writeFileSync(join(app, 'package.json'), JSON.stringify(manifest));
  const { err } = run(app, 'npm', [
    'install',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    tarball,
    '@types/node@20',
  ]);
  // npm lists `prepare` of a tarball, although it does not run it, and of a registry's package it does not list it.
  const isPrepare = /^npm warn install-scripts( (\d+ package.*|Run .*| {2}stable-diffusion-ts@\S+ \(prepare: .*))?$/;
  const warnings = err
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line.startsWith('npm warn') && !isPrepare.test(line));
  demand(warnings.length === 0, `npm warns at the installation:\n${warnings.join('\n')}`);
  run(app, 'npm', ['ls', '--all']);
  return app;
}

/** A picture of one step in Node, with the model that ships. */
function picture(app: string): void {
  writeFileSync(
    join(app, 'picture.mjs'),
    `import { loadModel, textToImage } from 'stable-diffusion-ts';
const model = await loadModel();
for await (const event of textToImage(model, { prompt: 'red apple', steps: 1, width: 64, height: 64 })) {
  if (event.kind === 'result') console.log('picture', event.images[0].image.width, event.images[0].image.height);
}
await model.dispose();
`,
  );
  const { out, err } = run(app, process.execPath, ['picture.mjs']);
  demand(out.trim() === 'picture 64 64', `The program in Node printed: ${out}`);
  demand(!/warning/i.test(err), `The program in Node warned: ${err}`);
  const { out: version } = run(app, join(app, 'node_modules/.bin/sd'), ['--version']);
  console.log(`Node ${process.versions.node}: a picture is made; sd --version says ${version.trim()}`);
}

/** A program for Node, one for browsers without Node's types, and one that imports every entry. */
function writePrograms(app: string): void {
  const body = (platform: string, file: string) =>
    `import { loadModel, textToImage } from 'stable-diffusion-ts/${platform}';
const model = await loadModel('${file}');
for await (const event of textToImage(model, { prompt: 'red apple', steps: 1 })) {
  if (event.kind === 'result') console.log(event.images[0]?.image.width);
}
await model.dispose();
`;
  writeFileSync(join(app, 'node.ts'), body('node', 'pocket.safetensors'));
  writeFileSync(
    join(app, 'page.ts'),
    `${body('web', '/models/pocket.safetensors')}
import { connectWorker } from 'stable-diffusion-ts/web';
export const worker = connectWorker(new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' }));
`,
  );
  writeFileSync(
    join(app, 'worker.ts'),
    `import { serveWorker } from 'stable-diffusion-ts/web';\nserveWorker(self);\nexport {};\n`,
  );
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly exports: object };
  const entries = Object.keys(exports).filter((entry) => !entry.endsWith('.json'));
  const imports = entries.map((entry, i) => `export * as entry${i} from 'stable-diffusion-ts${entry.slice(1)}';`);
  writeFileSync(join(app, 'entries.ts'), imports.join('\n'));
}

function types(app: string): void {
  writePrograms(app);
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const resolutions = [
    { module: 'esnext', moduleResolution: 'bundler' },
    { module: 'nodenext', moduleResolution: 'nodenext' },
  ];
  const programs = [
    { files: ['node.ts', 'entries.ts'], lib: ['ES2023', 'ESNext.Disposable', 'DOM'], types: ['node'] },
    // As Vite's templates have them.
    { files: ['page.ts', 'worker.ts'], lib: ['ES2022', 'DOM', 'DOM.Iterable'], types: [] },
  ];
  for (const resolution of resolutions) {
    for (const { files, ...program } of programs) {
      const compilerOptions = {
        ...resolution,
        ...program,
        target: 'es2022',
        strict: true,
        noEmit: true,
        skipLibCheck: false,
        allowImportingTsExtensions: true,
      };
      writeFileSync(join(app, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
      run(app, process.execPath, [tsc, '-p', '.']);
    }
    console.log(`TypeScript with moduleResolution ${resolution.moduleResolution}: no error`);
  }
}

/** The browser's half in a project whose lib has no DOM, such as a server's: no error of ours. onnxruntime-common's types need the DOM. */
function typesWithoutDom(app: string): void {
  writeFileSync(
    join(app, 'shared.ts'),
    `import { connectWorker, loadModel, serveWorker } from 'stable-diffusion-ts/web';
export const parts = { connectWorker, loadModel, serveWorker };
`,
  );
  const compilerOptions = {
    module: 'esnext',
    moduleResolution: 'bundler',
    lib: ['ES2022'],
    types: ['node'],
    target: 'es2022',
    strict: true,
    noEmit: true,
    skipLibCheck: false,
  };
  writeFileSync(join(app, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['shared.ts'] }));
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const { stdout } = spawnSync(process.execPath, [tsc, '-p', '.'], { cwd: app, encoding: 'utf8' });
  const own = stdout.split('\n').filter((line) => /error TS/.test(line) && !line.includes('onnxruntime-common'));
  demand(own.length === 0, `TypeScript without the DOM in lib:\n${own.join('\n')}`);
  console.log('TypeScript without the DOM in lib: no error');
}

/** A production build of a page and its worker. */
function page(app: string): void {
  const vite = join(root, 'web/node_modules/vite/bin/vite.js');
  demand(existsSync(vite), 'Vite is not installed. Run `npm run page` first.');
  writeFileSync(join(app, 'index.html'), '<script type="module" src="./page.ts"></script>');
  writeFileSync(
    join(app, 'vite.config.js'),
    `export default { worker: { format: 'es' }, build: { target: 'es2022', chunkSizeWarningLimit: 5000 } };`,
  );
  const { out, err } = run(app, process.execPath, [vite, 'build']);
  demand(!/warn|externalized|deprecated/i.test(out + err), `Vite warns:\n${out}\n${err}`);
  demand(/\.wasm/.test(out), `Vite's build lacks the WASM of onnxruntime-web:\n${out}`);
  console.log('Vite: a page and its worker are built');
}

/** States the size of a bundle of `loadModel` and `textToImage`: what a page loads at once, and what it loads when it needs it. */
async function bundle(app: string): Promise<void> {
  const contents = `export { loadModel, textToImage } from 'stable-diffusion-ts/web';`;
  const { metafile, outputFiles, warnings } = await build({
    stdin: { contents, resolveDir: app, sourcefile: 'entry.js' },
    absWorkingDir: app,
    outdir: join(app, 'bundle'),
    external: ['onnxruntime-*'],
    bundle: true,
    format: 'esm',
    logLevel: 'silent',
    metafile: true,
    minify: true,
    platform: 'browser',
    splitting: true,
    target: 'es2022',
    write: false,
  });
  demand(warnings.length === 0, `esbuild warns: ${JSON.stringify(warnings)}`);
  const sizes = new Map(outputFiles.map(({ path, contents }) => [path, gzipSync(contents).length]));
  const initial = new Set<string>();
  const visit = (path: string) => {
    if (initial.has(path)) return;
    initial.add(path);
    for (const { kind, path: next, external } of metafile.outputs[path]?.imports ?? []) {
      if (kind === 'import-statement' && !external) visit(next);
    }
  };
  for (const [path, { entryPoint }] of Object.entries(metafile.outputs)) if (entryPoint === 'entry.js') visit(path);
  demand(initial.size > 0, 'esbuild gave no bundle.');
  const all = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const atOnce = [...initial].reduce((sum, path) => sum + (sizes.get(join(app, path)) ?? 0), 0);
  console.log(`bundle: ${kilobytes(atOnce)} gzip at once, ${kilobytes(all - atOnce)} gzip when needed`);
  demand(atOnce > 0 && atOnce <= mostInitial, `A page loads ${atOnce} bytes at once, more than ${mostInitial}.`);
}

const folder = mkdtempSync(join(tmpdir(), 'package-'));
try {
  const app = install(folder, pack(folder));
  picture(app);
  types(app);
  typesWithoutDom(app);
  page(app);
  await bundle(app);
} catch (error) {
  if (!(error instanceof Failed)) throw error;
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
