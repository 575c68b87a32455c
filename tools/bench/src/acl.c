/*
 * DPDK's classifier and its forwarding table, each behind a few calls.
 *
 * DPDK's headers hold much that only a C compiler reads (inline functions, macros that build types), so that the
 * calls are made here and Rust sees plain structures. native.rs declares the same ones.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_acl.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_malloc.h>
#include <rte_vect.h>

/* A header as a packet carries it: network byte order. */
struct peers_header {
	uint32_t source;
	uint32_t destination;
	uint16_t source_port;
	uint16_t destination_port;
	uint8_t protocol;
	uint8_t unused[3];
};

/* A rule in the machine's byte order; `mark` is what a match answers and may not be 0. */
struct peers_rule {
	uint32_t source;
	uint32_t destination;
	uint16_t source_port_first;
	uint16_t source_port_last;
	uint16_t destination_port_first;
	uint16_t destination_port_last;
	uint8_t source_bits;
	uint8_t destination_bits;
	uint8_t protocol;
	uint8_t protocol_mask;
	int32_t priority;
	uint32_t mark;
};

enum { PROTOCOL, SOURCE, DESTINATION, SOURCE_PORT, DESTINATION_PORT, FIELDS };

RTE_ACL_RULE_DEF(compiled_rule, FIELDS);

/* After the first byte DPDK takes four bytes at a time, and both ports are one such word. */
static const struct rte_acl_field_def LAYOUT[FIELDS] = {
	{ RTE_ACL_FIELD_TYPE_BITMASK, 1, PROTOCOL, 0, offsetof(struct peers_header, protocol) },
	{ RTE_ACL_FIELD_TYPE_MASK, 4, SOURCE, 1, offsetof(struct peers_header, source) },
	{ RTE_ACL_FIELD_TYPE_MASK, 4, DESTINATION, 2, offsetof(struct peers_header, destination) },
	{ RTE_ACL_FIELD_TYPE_RANGE, 2, SOURCE_PORT, 3, offsetof(struct peers_header, source_port) },
	{ RTE_ACL_FIELD_TYPE_RANGE, 2, DESTINATION_PORT, 3, offsetof(struct peers_header, destination_port) },
};

/* 0, or DPDK's number for what went wrong. The calling thread stays on `lcores`. */
int peers_dpdk_start(char *lcores, char *megabytes)
{
	char *arguments[] = {
		"nsgsim-peers", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",
		"--log-level=1", "-m", megabytes, "--lcores", lcores,
	};
	if (rte_eal_init((int)RTE_DIM(arguments), arguments) < 0)
		return rte_errno ? rte_errno : -1;
	/* Without it the widest methods are ruled out even where the processor has them. */
	rte_vect_set_max_simd_bitwidth(RTE_VECT_SIMD_512);
	return 0;
}

/* What all heaps together have given out. */
static uint64_t taken(void)
{
	uint64_t bytes = 0;
	for (int socket = 0; socket < RTE_MAX_NUMA_NODES; socket++) {
		struct rte_malloc_socket_stats stats;
		if (rte_malloc_get_socket_stats(socket, &stats) == 0)
			bytes += stats.heap_allocsz_bytes;
	}
	return bytes;
}

static void compile_field(struct rte_acl_field *field, uint32_t value, uint32_t extent)
{
	memset(field, 0, sizeof(*field));
	field->value.u32 = value;
	field->mask_range.u32 = extent;
}

static int add(struct rte_acl_ctx *context, const struct peers_rule *rule)
{
	struct compiled_rule compiled;
	memset(&compiled, 0, sizeof(compiled));
	compiled.data.category_mask = 1;
	compiled.data.priority = rule->priority;
	compiled.data.userdata = rule->mark;
	compiled.field[PROTOCOL].value.u8 = rule->protocol;
	compiled.field[PROTOCOL].mask_range.u8 = rule->protocol_mask;
	compile_field(&compiled.field[SOURCE], rule->source, rule->source_bits);
	compile_field(&compiled.field[DESTINATION], rule->destination, rule->destination_bits);
	compiled.field[SOURCE_PORT].value.u16 = rule->source_port_first;
	compiled.field[SOURCE_PORT].mask_range.u16 = rule->source_port_last;
	compiled.field[DESTINATION_PORT].value.u16 = rule->destination_port_first;
	compiled.field[DESTINATION_PORT].mask_range.u16 = rule->destination_port_last;
	return rte_acl_add_rules(context, (const struct rte_acl_rule *)&compiled, 1);
}

/* The compiled rules, or NULL with DPDK's number in `failed`; `bytes` is what the tables take. */
struct rte_acl_ctx *peers_acl_build(const struct peers_rule *rules, uint32_t count, uint64_t *bytes, int *failed)
{
	struct rte_acl_param parameters = {
		.name = "peers",
		.socket_id = SOCKET_ID_ANY,
		.rule_size = RTE_ACL_RULE_SZ(FIELDS),
		.max_rule_num = count,
	};
	struct rte_acl_ctx *context = rte_acl_create(&parameters);
	if (context == NULL) {
		*failed = rte_errno;
		return NULL;
	}
	*failed = 0;
	for (uint32_t rule = 0; rule < count && *failed == 0; rule++)
		*failed = -add(context, &rules[rule]);
	if (*failed == 0) {
		struct rte_acl_config config;
		memset(&config, 0, sizeof(config));
		config.num_categories = 1;
		config.num_fields = FIELDS;
		memcpy(config.defs, LAYOUT, sizeof(LAYOUT));
		uint64_t before = taken();
		*failed = -rte_acl_build(context, &config);
		*bytes = taken() - before;
	}
	if (*failed != 0) {
		rte_acl_free(context);
		return NULL;
	}
	return context;
}

/* 0 if the processor has the method. */
int peers_acl_use(struct rte_acl_ctx *context, int method)
{
	return rte_acl_set_ctx_classify(context, (enum rte_acl_classify_alg)method);
}

/* 0, with the mark of each header's rule in `marks`, 0 for none. */
int peers_acl_classify(const struct rte_acl_ctx *context, const struct peers_header **headers, uint32_t *marks,
		       uint32_t count)
{
	return rte_acl_classify(context, (const uint8_t **)headers, marks, count, 1);
}

void peers_acl_free(struct rte_acl_ctx *context)
{
	rte_acl_free(context);
}

/* A forwarding table that answers `missing` where no prefix covers an address, or NULL. */
struct rte_fib *peers_fib_create(uint32_t prefixes, uint32_t groups, uint32_t missing)
{
	struct rte_fib_conf config;
	memset(&config, 0, sizeof(config));
	config.type = RTE_FIB_DIR24_8;
	config.default_nh = missing;
	config.max_routes = (int)prefixes;
	config.dir24_8.nh_sz = RTE_FIB_DIR24_8_4B;
	config.dir24_8.num_tbl8 = groups;
	return rte_fib_create("peers", SOCKET_ID_ANY, &config);
}

int peers_fib_add(struct rte_fib *table, uint32_t address, uint8_t bits, uint32_t answer)
{
	return rte_fib_add(table, address, bits, answer);
}

int peers_fib_find(struct rte_fib *table, uint32_t *addresses, uint64_t *answers, uint32_t count)
{
	return rte_fib_lookup_bulk(table, addresses, answers, (int)count);
}

uint64_t peers_dpdk_taken(void)
{
	return taken();
}

void peers_fib_free(struct rte_fib *table)
{
	rte_fib_free(table);
}
