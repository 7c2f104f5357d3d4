/** The routes of ComfyUI's API (version 0.3.64). The socket is in http/socket.ts. */

import type { Route } from '../../http/route.ts';
import { historyRoutes } from './history.ts';
import { pageJobRoutes } from './jobs.ts';
import { modelRoutes } from './models.ts';
import { objectInfoRoutes } from './object-info.ts';
import { promptRoutes } from './prompt.ts';
import { queueRoutes } from './queue.ts';
import { serverFactRoutes } from './server-facts.ts';
import { settingsRoutes } from './settings.ts';
import { toolingRoutes } from './tooling.ts';
import { uploadRoutes } from './upload.ts';
import { userDataRoutes } from './user-data.ts';
import { viewRoutes } from './view.ts';

export const comfyRoutes: readonly Route[] = [
  ...promptRoutes,
  ...queueRoutes,
  ...historyRoutes,
  ...pageJobRoutes,
  ...objectInfoRoutes,
  ...serverFactRoutes,
  ...modelRoutes,
  ...uploadRoutes,
  ...viewRoutes,
  ...userDataRoutes,
  ...settingsRoutes,
  ...toolingRoutes,
];
