package Catalog::Source::ModelsDev;

# Reads models.dev's api.json: {PROVIDER: {api, models: {ID: {name, cost, limit,
# modalities, ...}}}}, costs in USD per million tokens. Called by refresh.

use strict;
use warnings;

use JSON::PP ();

use Catalog::Decimal qw(decimal);

# Providers whose name there is not the name of our host.
my %host = (
    'amazon-bedrock' => 'bedrock', 'azure' => 'azure-openai', 'bailing' => 'ant-ling',
    'fireworks-ai' => 'fireworks', 'google' => 'gemini', 'google-vertex' => 'vertex',
    'google-vertex-anthropic' => 'vertex', 'inference' => 'inference-net', 'llama' => '',
    'moonshotai' => 'moonshot', 'moonshotai-cn' => 'moonshot-cn', 'nova' => 'amazon-nova',
    'novita-ai' => 'novita', 'opencode' => 'opencode-zen', 'perplexity-agent' => 'perplexity',
    'snowflake-cortex' => 'snowflake', 'stepfun' => 'stepfun-cn', 'stepfun-ai' => 'stepfun',
    'tencent-tokenhub' => 'tencent', 'togetherai' => 'together', 'zhipuai' => 'zhipu',
);

my %meter = (input => 'input', output => 'output', cache_read => 'cache_read',
             cache_write => 'cache_write', reasoning => 'reasoning', input_audio => 'audio_in',
             output_audio => 'audio_out');

my %status = (alpha => 'preview', beta => 'preview', deprecated => 'deprecated');

sub name { return 'models.dev' }

sub fits {
    my ($data) = @_;
    return !!grep { ref eq 'HASH' && ref $_->{models} eq 'HASH' } values %$data;
}

# Returns the records of hosts that we have, and the names of other providers.
sub records {
    my ($data, $hosts) = @_;
    my ($of, $others) = providers($data, $hosts);
    my @records;

    for my $provider (sort keys %$of) {
        my $models = $data->{$provider}{models};
        push @records, map { record($of->{$provider}, $_, $models->{$_}) } sort keys %$models;
    }
    return (\@records, $others);
}

# By name; else by base URL, if no provider has the host by name. (Plans and
# regions share URLs with the host that they belong to.)
sub providers {
    my ($data, $hosts) = @_;
    my @providers = grep { ref $data->{$_} eq 'HASH' && ref $data->{$_}{models} eq 'HASH' } sort keys %$data;
    my %of = map { $_ => $host{$_} // $_ } grep { exists $hosts->{$host{$_} // $_} } @providers;
    my %named = map { $_ => 1 } values %of;
    my %by_url = map { chat_base($hosts->{$_}) => $_ } grep { !$named{$_} } keys %$hosts;
    my @others;

    for my $provider (grep { !$of{$_} } @providers) {
        my $url = ($data->{$provider}{api} // '') =~ s{/$}{}r;
        my $host = $by_url{$url};
        if (defined $host) { $of{$provider} = $host }
        else { push @others, $provider }
    }
    return (\%of, \@others);
}

# What an OpenAI client is configured with.
sub chat_base {
    my ($host) = @_;
    my $path = $host->{formats}{'openai-chat'};

    return defined $path && !ref $path ? $host->{base_url} . $path =~ s{/chat/completions$}{}r : '-';
}

sub record {
    my ($host, $id, $model) = @_;
    my $cost = $model->{cost} // {};
    my $limit = $model->{limit} // {};
    my %record = (host => $host, id => $model->{id} // $id, price => meters($cost), tiers => tiers($cost),
                  modes => modes($model), status => $status{$model->{status} // ''},
                  context_tokens => $limit->{context} || undef,
                  output_tokens => $limit->{output} || undef, model => model($model));

    return \%record;
}

sub meters {
    my ($cost) = @_;
    my %meters = map { $meter{$_} => decimal($cost->{$_}) } grep { defined $cost->{$_} } keys %meter;

    # Thinking that costs what output costs is no meter of its own.
    delete $meters{reasoning} if ($meters{reasoning} // '') eq ($meters{output} // '');
    delete $meters{$_} for grep { !defined $meters{$_} } keys %meters;
    return \%meters;
}

sub tiers {
    my ($cost) = @_;
    my %tier = map { ($_->{tier}{size} => meters($_)) }
        grep { ($_->{tier}{type} // 'context') eq 'context' && $_->{tier}{size} } @{$cost->{tiers} // []};

    $tier{200000} //= meters($cost->{context_over_200k}) if !%tier && $cost->{context_over_200k};
    return [map { +{above => 0 + $_, %{$tier{$_}}} } sort { $a <=> $b } keys %tier];
}

sub modes {
    my ($model) = @_;
    my $modes = ($model->{experimental} // {})->{modes} // {};

    return {map { $_ => meters($modes->{$_}{cost}) }
            grep { /^[a-z][a-z+-]*$/ && $modes->{$_}{cost} } keys %$modes};
}

# What a model that we do not have yet is made of.
sub model {
    my ($model) = @_;
    my $limit = $model->{limit} // {};
    my ($input, $output) = map { $_ // [] } @{$model->{modalities} // {}}{qw(input output)};
    my %takes = map { $_ => 1 } @$input;
    my %gives = map { $_ => 1 } @$output;
    my %capability = (tools => $model->{tool_call}, reasoning => $model->{reasoning},
                      structured_output => $model->{structured_output},
                      temperature => $model->{temperature});

    delete $capability{$_} for grep { !defined $capability{$_} } keys %capability;
    $capability{$_->[0]} = JSON::PP::true
        for grep { $_->[1] } ['vision', $takes{image}], ['pdf', $takes{pdf}],
                             ['audio_in', $takes{audio}], ['video_in', $takes{video}],
                             ['audio_out', $gives{audio}],
                             ['prompt_caching', ($model->{cost} // {})->{cache_read}];

    my %made = (name => $model->{name}, family => $model->{family}, input => $input, output => $output,
                type => $gives{text} ? 'chat' : $gives{image} ? 'image' : 'speech',
                released => $model->{release_date}, knowledge_cutoff => $model->{knowledge},
                open_weights => $model->{open_weights}, context_tokens => $limit->{context} || undef,
                output_tokens => $limit->{output} || undef, max_input_tokens => $limit->{input} || undef,
                capabilities => \%capability, reasoning_efforts => efforts($model));
    delete $made{$_} for grep { !defined $made{$_} } keys %made;
    return \%made;
}

# The words that formats have; others mean something at one host only.
my %effort = map { $_ => 1 } qw(none minimal low medium high xhigh max);

sub efforts {
    my ($model) = @_;
    my %seen;
    my @efforts = grep { !$seen{$_}++ } map { $_ eq 'off' ? 'none' : $_ } grep { defined }
        map { @{$_->{values} // []} } grep { ($_->{type} // '') eq 'effort' } @{$model->{reasoning_options} // []};

    return @efforts && !grep({ !$effort{$_} } @efforts) ? \@efforts : undef;
}

1;
