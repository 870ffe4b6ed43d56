/** Configuration keys that are read and have no effect in this version. */
import { z } from "zod";

const text = z.string();
const texts = z.array(text);
const port = z.number().int().min(0).max(65_535);

/** Keys for which a warning is enough: the node does less than they say. */
export const idleKeys = {
  agent_ping_timeout_ms: z.number().int().min(1).optional(),
  bin_path: texts.optional(),
  cni: z
    .object({
      bin_path: texts.optional(),
      interface_name: text.optional(),
      network_name: text.optional(),
      subnet: z.cidrv4().optional(),
      nameservers: texts.optional(),
    })
    .optional(),
  default_resource_dir: text.optional(),
  kernel_filepath: text.optional(),
  rootfs_filepath: text.optional(),
  internal_node_host: z.ipv4().optional(),
  internal_node_port: port.optional(),
  otlp_exporter_url: text.optional(),
  otel_metrics: z.boolean().optional(),
  otel_metrics_port: port.optional(),
  otel_metrics_exporter: z.enum(["file", "prometheus"]).optional(),
  otel_traces: z.boolean().optional(),
  otel_traces_exporter: z.enum(["file", "grpc", "http"]).optional(),
  preserve_network: z.boolean().optional(),
  /** Options of an embedded nats-server. */
  public_nats_server: z.record(text, z.unknown()).optional(),
};
