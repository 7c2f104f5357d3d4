/** The plot of FID against CLIP score: what is drawn, what is refused, and the files. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type GuidanceCurve, guidanceJson, guidancePlot, guidanceScales } from '../../src/evaluation/guidance-curve.ts';
import { writeGuidanceCurve } from '../../src/evaluation/guidance-curve-node.ts';
import { lineChart } from '../../src/plot/line-chart.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';

const curve = (name: string, shift: number): GuidanceCurve => ({
  name,
  points: guidanceScales.map((scale) => ({
    scale,
    fid: 12 + shift + (scale - 3) ** 2,
    clipScore: 22 + 6 * (1 - 1 / scale),
  })),
});

test('one point and one label a guidance scale; names are escaped', () => {
  const svg = guidancePlot([curve('a < b & "c"', 0), curve('other', 3)], { notes: '1000 pictures' });
  assert.equal(svg.match(/<circle /g)?.length, 16);
  for (const scale of guidanceScales) assert.ok(svg.includes(`>${scale}</text>`));
  assert.ok(svg.includes('a &lt; b &amp; &quot;c&quot;') && svg.includes('(1000 pictures)') && !svg.includes('NaN'));
});

test('numbers that are not finite are refused in the plot of models, and break the line of a chart', () => {
  assert.throws(() => guidancePlot([{ name: 'x', points: [{ scale: 2, fid: Number.NaN, clipScore: 20 }] }]), {
    code: 'not-finite',
  });
  const svg = lineChart([{ name: 'loss', points: [1, Number.NaN, 3, 4].map((y, x) => ({ x, y })) }]);
  assert.equal(svg.match(/<path d="(M[^"]*)" fill="none" stroke="#0072b2"/)?.[1]?.match(/M/g)?.length, 2);
  for (const values of [[], [5], [Number.POSITIVE_INFINITY], [-1, 0]]) {
    for (const logarithmicY of [false, true])
      assert.ok(
        !/NaN|Infinity/.test(lineChart([{ name: 'loss', points: values.map((y, x) => ({ x, y })) }], { logarithmicY })),
      );
  }
});

test('SVG, PNG and JSON are written', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'curve-'));
  try {
    const curves = [curve('pocket', 0)];
    const [svg, png, json] = await writeGuidanceCurve(folder, curves);
    assert.ok(readFileSync(svg as string, 'utf8').startsWith('<svg'));
    const image = await nodeImageCodec.decode(readFileSync(png as string));
    assert.deepEqual([image.width, image.height], [1280, 800]);
    assert.equal(readFileSync(json as string, 'utf8'), guidanceJson(curves));
    assert.deepEqual(JSON.parse(guidanceJson(curves)).curves, curves);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
