/** A workflow of ComfyUI's: opened from a file, set by its form, run on the server, with the pictures on the way and those that it makes. */

import type { NodeTable } from 'stable-diffusion-ts/workflow/definition.ts';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { serverAddress } from '../engines/choose-engine.ts';
import { JobsEngine } from '../engines/jobs-engine.ts';
import { urlOf } from '../history/picture-database.ts';
import { Icon } from '../shell/icons.tsx';
import { studio, useStudio } from '../studio.ts';
import {
  fieldsOf,
  missingNodes,
  openWorkflow,
  type OpenedWorkflow,
  readWorkflowFile,
  withValue,
} from './opened-workflow.ts';
import { WorkflowForm } from './workflow-form.tsx';
import { interrupt, runOnServer, serverNodes, uploadPicture } from './workflow-server.ts';

/** A run under way, or the last one. */
interface WorkflowRun {
  readonly running: boolean;
  readonly status: string;
  /** 0 … 1 of the node that runs. */
  readonly share?: number | undefined;
  readonly preview?: Blob | undefined;
  readonly pictures: readonly File[];
  readonly texts: readonly string[];
}

const noRun: WorkflowRun = { running: false, status: '', pictures: [], texts: [] };

const tell = (error: unknown): void => studio.set({ notice: { kind: 'error', text: (error as Error).message } });

/** The server's nodes; undefined where pictures are made without a server of this program. */
function useNodes(): NodeTable | undefined {
  const { engine, choice } = useStudio();
  const [nodes, setNodes] = useState<NodeTable>();
  useEffect(() => {
    setNodes(undefined);
    if (!(engine instanceof JobsEngine)) return;
    let current = true;
    serverNodes(serverAddress(choice))
      .then((table) => current && setNodes(table))
      .catch(tell);
    return () => {
      current = false;
    };
  }, [engine, choice]);
  return nodes;
}

function Chooser({ children }: { readonly children: ReactNode }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" onClick={() => input.current?.click()}>
        {children}
      </button>
      <input
        ref={input}
        type="file"
        hidden
        accept=".json,image/png"
        aria-label="Workflow"
        onChange={async ({ target }) => {
          const [file] = target.files ?? [];
          target.value = '';
          if (file) await readWorkflowFile(file).then((workflow) => studio.set({ workflow }), tell);
        }}
      />
    </>
  );
}

function Results({ run }: { readonly run: WorkflowRun }) {
  const { status, share, preview, running, pictures, texts } = run;
  return (
    <section className="workflow-results" aria-label="Results">
      {running && (
        <div className="progress">
          <progress aria-label="Progress" {...(share === undefined ? {} : { value: share })} max={1} />
          <p role="status">{status}</p>
        </div>
      )}
      {running && preview && <img className="workflow-preview" src={urlOf(preview)} alt="Unfinished" />}
      {pictures.map((file) => (
        <figure key={file.name}>
          <img src={urlOf(file)} alt={file.name} />
          <figcaption>
            <a href={urlOf(file)} download={file.name}>
              {file.name}
            </a>
          </figcaption>
        </figure>
      ))}
      {texts.map((text) => (
        <pre key={text}>{text}</pre>
      ))}
    </section>
  );
}

/** Runs a workflow; `show` gets what is to be seen. */
async function follow(
  workflow: OpenedWorkflow,
  titleOf: (node: string) => string,
  show: (run: WorkflowRun) => void,
): Promise<void> {
  let run: WorkflowRun = { ...noRun, running: true, status: 'Sending' };
  const change = (patch: Partial<WorkflowRun>): void => {
    run = { ...run, ...patch };
    show(run);
  };
  change({});
  try {
    for await (const event of runOnServer(serverAddress(studio.state.choice), workflow)) {
      if (event.kind === 'node') change({ status: titleOf(event.node), share: undefined });
      else if (event.kind === 'step') change({ share: event.done / event.total });
      else if (event.kind === 'preview') change({ preview: event.picture });
      else if (event.kind === 'pictures') change({ pictures: [...run.pictures, ...event.pictures] });
      else change({ texts: [...run.texts, ...event.texts] });
    }
  } catch (error) {
    tell(error);
  } finally {
    change({ running: false });
  }
}

function Opened({ opened, nodes }: { readonly opened: OpenedWorkflow; readonly nodes: NodeTable }) {
  const [graph, setGraph] = useState(opened.graph);
  const [run, setRun] = useState(noRun);
  const groups = fieldsOf(graph, nodes);
  const missing = missingNodes(graph, nodes);
  const server = serverAddress(studio.state.choice);
  const titleOf = (node: string): string => {
    const own = graph.get(node);
    const { class_type = '' } = own ?? {};
    const meta = own?.['_meta'];
    return (meta as { readonly title?: string } | undefined)?.title ?? nodes.get(class_type)?.displayName ?? class_type;
  };
  return (
    <div className="workflow-columns">
      <form
        className="workflow-form"
        aria-label={opened.name}
        onSubmit={(event) => {
          event.preventDefault();
          void follow({ ...opened, graph }, titleOf, setRun);
        }}
      >
        {missing.length > 0 && <p className="workflow-missing">The server has no node {missing.join(', ')}.</p>}
        <WorkflowForm
          groups={groups}
          disabled={run.running}
          onChange={(node, input, value) => setGraph((before) => withValue(before, node, input, value))}
          onUpload={(file) => uploadPicture(server, file)}
        />
        <div className="workflow-actions">
          {run.running ? (
            <button type="button" onClick={() => void interrupt(server).catch(tell)}>
              Stop
            </button>
          ) : (
            <button type="submit" className="primary">
              Run
            </button>
          )}
        </div>
      </form>
      <Results run={run} />
    </div>
  );
}

export function WorkflowView() {
  const { workflow, engine, connecting } = useStudio();
  const nodes = useNodes();
  const [opened, setOpened] = useState<{ readonly key: number; readonly workflow: OpenedWorkflow }>();
  const count = useRef(0);
  useEffect(() => {
    setOpened(undefined);
    if (!workflow || !nodes) return;
    try {
      setOpened({ key: ++count.current, workflow: openWorkflow(workflow, nodes) });
    } catch (error) {
      tell(error);
    }
  }, [workflow, nodes]);
  const hasServer = engine instanceof JobsEngine;
  return (
    <div className="workflow">
      <div className="workflow-head">
        <h1>{opened?.workflow.name ?? 'Workflow'}</h1>
        <Chooser>
          <Icon name="workflow" /> Open a workflow
        </Chooser>
      </div>
      {!hasServer && !connecting && (
        <p className="muted">Workflows run on a server of this program. Choose one under “Where pictures are made”.</p>
      )}
      {hasServer && !workflow && (
        <p className="muted">
          Open a workflow of ComfyUI: a JSON file that its page saved or exported, or a PNG picture that carries one.
        </p>
      )}
      {opened && nodes && <Opened key={opened.key} opened={opened.workflow} nodes={nodes} />}
    </div>
  );
}
