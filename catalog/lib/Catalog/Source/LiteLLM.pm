package Catalog::Source::LiteLLM;

# Reads LiteLLM's model_prices_and_context_window.json: {KEY: {litellm_provider,
# input_cost_per_token, ...}}, costs in USD per token; KEY is an upstream id, with
# or without the provider before it. Called by refresh.

use strict;
use warnings;

use Catalog::Decimal qw(decimal);

# Providers whose name there is not the name of our host.
my %host = (
    'azure' => 'azure-openai', 'azure_ai' => 'azure-foundry', 'bedrock_converse' => 'bedrock',
    'bedrock_mantle' => 'bedrock', 'cloudflare' => 'cloudflare-workers-ai', 'cohere_chat' => 'cohere',
    'dashscope' => 'alibaba', 'featherless_ai' => 'featherless', 'fireworks_ai' => 'fireworks',
    'friendliai' => 'friendli', 'github_copilot' => 'github-copilot', 'jina_ai' => 'jina',
    'text-completion-openai' => 'openai', 'together_ai' => 'together',
    'vercel_ai_gateway' => 'vercel', 'vertex_ai' => 'vertex',
);

# What comes before an id, other than the provider.
my %prefix = map { $_ => 1 } qw(openai anthropic azure azure_ai bedrock vertex_ai gemini cohere
                                fireworks_ai together_ai jina_ai);

my %meter = (
    input_cost_per_token => 'input', output_cost_per_token => 'output',
    cache_read_input_token_cost => 'cache_read', cache_creation_input_token_cost => 'cache_write',
    cache_creation_input_token_cost_above_1hr => 'cache_write_1h',
    output_cost_per_reasoning_token => 'reasoning', input_cost_per_audio_token => 'audio_in',
    output_cost_per_audio_token => 'audio_out', input_cost_per_image_token => 'image_in',
    output_cost_per_image_token => 'image_out',
);

my %service_tier = (batches => 'batch', flex => 'flex', priority => 'priority');

sub name { return 'litellm' }

sub fits {
    my ($data) = @_;
    return !!grep { ref eq 'HASH' && defined $_->{litellm_provider} } values %$data;
}

# Returns the records of hosts that we have, and the names of other providers.
sub records {
    my ($data, $hosts) = @_;
    my (@records, %others);

    for my $key (grep { $_ ne 'sample_spec' && ref $data->{$_} eq 'HASH' } sort keys %$data) {
        my $provider = $data->{$key}{litellm_provider} // '';
        my $host = host($provider);
        if ($hosts->{$host}) { push @records, record($host, id($key, $provider), $data->{$key}) }
        elsif (length $provider) { $others{$provider} = 1 }
    }
    return (\@records, [sort keys %others]);
}

# "vertex_ai-language-models" is a part of vertex_ai.
sub host {
    my ($provider) = @_;
    my $base = $provider =~ s/-(?:[a-z0-9]+[-_])*models$//r;

    return $host{$base} // $base;
}

sub id {
    my ($key, $provider) = @_;
    my ($first, $rest) = $key =~ m{^([^/]+)/(.+)$} or return $key;

    return $first eq $provider || $prefix{$first} ? $rest : $key;
}

sub record {
    my ($host, $id, $entry) = @_;
    my ($price, %tier, %mode) = ({});

    for my $name (sort keys %$entry) {
        my $cost = decimal($entry->{$name}, 6) // next;
        my $plain = $name;
        my $above = $plain =~ s/_above_(\d+)k_tokens// ? 1000 * $1 : undef;
        my $mode = $plain =~ s/_(batches|flex|priority)$// ? $service_tier{$1} : undef;
        my $meter = $meter{$plain} // next;
        next if defined $above && defined $mode; # the catalog has no place for it
        my $into = defined $above ? $tier{$above} //= {} : defined $mode ? $mode{$mode} //= {} : $price;
        $into->{$meter} = $cost;
    }
    delete $price->{reasoning} if ($price->{reasoning} // '') eq ($price->{output} // '');
    return {host => $host, id => $id, price => $price, modes => \%mode,
            tiers => [map { +{above => $_, %{$tier{$_}}} }
                      grep { defined $tier{$_}{input} } sort { $a <=> $b } keys %tier]};
}

1;
