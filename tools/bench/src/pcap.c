/*
 * libpcap's own way through a file: a record at a time, each asked of a compiled filter.
 */

#include <stdint.h>
#include <stdio.h>

#include <pcap/pcap.h>

struct counts {
	uint64_t records;
	uint64_t fitting;
	uint64_t bytes;
};

/* 0, or 1 with libpcap's words in `message`. */
int peers_pcap_read(const char *path, const char *expression, struct counts *counts, char *message, size_t room)
{
	char error[PCAP_ERRBUF_SIZE] = "";
	pcap_t *capture = pcap_open_offline(path, error);
	if (capture == NULL) {
		snprintf(message, room, "%s", error);
		return 1;
	}
	struct bpf_program filter;
	if (pcap_compile(capture, &filter, expression, 1, PCAP_NETMASK_UNKNOWN) != 0) {
		snprintf(message, room, "%s", pcap_geterr(capture));
		pcap_close(capture);
		return 1;
	}
	struct pcap_pkthdr *record;
	const unsigned char *captured;
	int more;
	while ((more = pcap_next_ex(capture, &record, &captured)) == 1) {
		counts->records++;
		counts->bytes += record->len;
		counts->fitting += pcap_offline_filter(&filter, record, captured) != 0;
	}
	if (more == PCAP_ERROR)
		snprintf(message, room, "%s", pcap_geterr(capture));
	pcap_freecode(&filter);
	pcap_close(capture);
	return more == PCAP_ERROR;
}
