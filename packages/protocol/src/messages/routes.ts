/** Announcements of the routes of HTTP triggers, over core NATS. */
import { z } from "zod";
import { workloadNameBytesMax } from "../subjects/names.ts";
import { httpTriggerSchema, triggersMax } from "./triggers.ts";

/** Maximum size of an announcement, and of a question for them. */
export const routesAnnouncementBytesMax = 131_072;
const idCharactersMax = 64;

const idSchema = z.string().min(1).max(idCharactersMax);
const announcedRouteSchema = httpTriggerSchema.omit({ type: true, name: true });

/** One copy of a workload says which routes it has, or that it has none any more. */
export const routesAnnouncementSchema = z.strictObject({
  version: z.literal(1),
  /** Names the copy, so that a successor of the same workload id is another one. */
  copy: idSchema,
  workload_id: idSchema,
  /** Time of the deploy, in Unix ms. */
  since: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  /** Empty when it is withdrawn. */
  routes: z.array(announcedRouteSchema).max(triggersMax),
});

/** Asks for announcements: of all, or only of the workloads that object to a new one. */
export const routesWantedSchema = z.strictObject({
  version: z.literal(1),
  objections_to: z
    .strictObject({
      namespace: z.string().min(1).max(idCharactersMax),
      name: z.string().min(1).max(workloadNameBytesMax),
      routes: z.array(announcedRouteSchema).min(1).max(triggersMax),
    })
    .optional(),
});

export type RoutesAnnouncement = z.infer<typeof routesAnnouncementSchema>;
export type RoutesWanted = z.infer<typeof routesWantedSchema>;
/** A route as an announcement has it. */
export type AnnouncedRoute = z.infer<typeof announcedRouteSchema>;
