/** Configuration of host services. */
import { z } from "zod";

const bytesMax = z
  .number()
  .int()
  .min(1_024)
  .max(2 ** 40);
const timeMs = z.number().int().min(1).max(60_000);

const service = <T extends z.ZodType>(config: T) =>
  z.object({ enabled: z.boolean().default(true), config }).prefault({} as never);

const bucket = (suffix: string) =>
  service(
    z
      .object({
        /** Template with `${namespace}` and `${workload_name}`. */
        bucket_name: z.string().min(1).max(200).default(`hs_\${namespace}_\${workload_name}_${suffix}`),
        max_bytes: bytesMax.default(524_288),
        /** Whether a missing bucket is created. */
        jit_provision: z.boolean().default(true),
      })
      .prefault({}),
  );

/** Settings of each service. The defaults are those of Go Nex. */
export const hostServicesSchema = z
  .object({
    kv: bucket("kv"),
    objectstore: bucket("obj"),
    messaging: service(
      z
        .object({
          request_timeout_ms: timeMs.default(2_500),
          /** Time to wait for replies to `requestMany`. */
          request_many_timeout_ms: timeMs.default(750),
        })
        .prefault({}),
    ),
    http: service(z.object({ timeout_ms: timeMs.default(2_500) }).prefault({})),
  })
  .prefault({});
export type HostServiceSettings = z.infer<typeof hostServicesSchema>;
